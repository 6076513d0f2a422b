"""A small Instagram to test against: a seeded world, the Graph API's answers over it, and a server on a real socket.

It answers as the real API does, with the refusals, rate limits, expiring tokens and silences of docs/graph_api.md: any
version or none, both logins with their consent pages, batches, insights, media, stories, and a CDN with real pictures
and videos. It imports nothing of `ig_pipeline` but itself, so that it can be used, or published, alone; it needs
starlette, uvicorn, pydantic, yaml, click, PIL and av.

On a port, for a client in any language: `python -m ig_pipeline.simulator --port 8990`. In a test, in a thread:

    with running_simulator(World(accounts=3), clock=lambda: NOW) as simulator:
        client = Client(simulator.url, token=simulator.token("acme.studio"))

`world` holds the truth that answers are compared with, `faults` the plans of what goes wrong, `control` the levers
under `/_simulator/` (docs/simulator.md): the clock, tokens, limits, counted calls, odd answers.
"""
