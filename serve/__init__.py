"""The process on the line: frames come in over gRPC, verdicts go out, every one is recorded first.

A frame's way: `servicer` (converts) → `handler` (a free worker, engine, decision) → `spool` (the
row) → answer. Beside it `watcher` follows the ledger and `prepare` makes the next release ready;
`server` puts all together, `settings` says how, `cli` is ``vision-serve`` with its client.

Belongs here: transport, the swap of releases, the spool, and what runs on the line's host. Does not
belong here: how a frame becomes a verdict (`inspection`), or where things are kept (`store`).
Imports those two and nothing else of ours; no training library, no orchestrator.
"""
