"""How ``ofa`` and its descendants write a subnet down, read into networks and archs."""
