"""New supernets: for images of a size, or from a model that is trained already."""
