// Package monitoring has no code, only the tests of what watches Mailwright: Prometheus' alerts and
// their runbooks by Prometheus' own rule engine, and Grafana's dashboards by Grafana's own types.
package monitoring
