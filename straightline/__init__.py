"""StraightLine's producer SDK, contracts and command line."""
