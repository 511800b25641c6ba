"""`python -m accelmnist` is the same as `accelmnist`."""

from accelmnist.cli import main

if __name__ == "__main__":
    main()
