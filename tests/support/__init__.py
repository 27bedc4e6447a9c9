"""Tools that several test folders share. Import as ``tests.support.<name>``."""
