"""From a log to the fleet that wrote it: slots, speeds, demand, retries, outages, or a refusal. Pure, no simulation.

Begin with `fleet.fit`. What identifies what:

    log           the rows that count, host by host: when each came, when its answer was there
    inversion     the moment at which each request began to be served, if a host had so many slots
    slots         how many slots make the services that follow look drawn from one distribution
    sharing       whether all requests are served at once instead, which has a likelihood, too
    independence  whether those services know nothing of how busy host and fleet were: else it is another kind of queue
    demand        the services, freed from the hosts' speeds: mean, spread, family
    speeds        how hosts differ; intervals by resampling stretches of time
    assigning     how the proxy chose a host
    ahead         durations predicted from who was there, request by request
    failing       errors, retries and outages
    refusal       what cannot be told from this log, and what would have to be collected

`experiments/fitting/` plays a fitted fleet against the half of the log that it has not seen.
"""
