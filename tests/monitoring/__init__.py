"""Prometheus' configuration and Grafana's boards, held against real ones where there are any."""
