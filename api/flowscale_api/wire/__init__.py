"""The HTTP connection itself: how long we wait, what every request gets, how much a body may bring."""
