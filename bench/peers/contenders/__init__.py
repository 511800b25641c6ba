"""The contenders, one file each behind the contract in `bench.peers.contract`; each ends in `CONTENDER = ItsClass`."""
