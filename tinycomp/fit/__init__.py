"""A model that does not fit the board is made to fit, with the least loss."""
