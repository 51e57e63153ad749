"""Connections to other hosts, whose addresses clients name: where they may lead (addresses.py), to a checked address
and no other (dialling.py), in waits that can be stopped (wire.py). Downloads and webhooks have no other door."""
