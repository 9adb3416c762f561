"""`make ha`: three PostgreSQL nodes under Patroni, etcd, and a service that writes while they fail.

`programs` finds what is needed; `etcd`, `node` and `cluster` run it; `events` is what happens to the cluster; `watch`
measures how long writes and health were away. The clients, their ledger and the comparison are those of `make chaos`.
"""
