"""The other sides of a benchmark: programs in processes of their own, measured in the same rounds and held to the same
proof. `protocol` says what is spoken."""
