"""Programs that go into a bundle as they are: they import nothing of ours."""
