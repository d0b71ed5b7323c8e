"""The lecture by hand: networks whose weights one sets, and gradients whose steps one writes."""
