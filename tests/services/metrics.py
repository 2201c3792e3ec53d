"""What a service shows to Prometheus, read by Prometheus' own rules."""

from prometheus_client.parser import text_string_to_metric_families


def samples(text):
    """Values by name and sorted labels, of the text format."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


async def metrics(session, url):
    async with session.get(f"{url}/metrics") as response:
        assert response.status == 200
        return samples(await response.text())
