"""One verb a module, written against the ports: collect, close, predict, publish, sweep, replay."""
