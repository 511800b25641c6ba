"""The engines, one file each behind the contract in `accelmnist.engines.contract`.

The folder is the list: a file `name.py` that ends in `ENGINE = ItsClass` is the engine `name`.
"""
