"""The driver that fuzzes the native kernels under the sanitizers, and how it is built."""
