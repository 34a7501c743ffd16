"""Measures operators and collectives of the machine at hand, as `superpod calibrate` reads them."""
