package launcher

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics turns the daemon's status into metrics, when somebody asks. Labels
// never name a ref.
type metrics struct{ d *Daemon }

// Metrics serves GET /metrics in the Prometheus exposition format.
func (d *Daemon) Metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics{d})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("agent_launcher_"+name, help, labels, nil)
}

// Describe sends nothing: which agents there are changes. See
// prometheus.Collector, unchecked collectors.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect is of the status at this moment.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	s := m.d.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(desc("control_plane_reachable", "Whether the control plane answered last."), truth(s.ControlPlane.Reachable))
	gauge(desc("keeper_connected", "Whether the daemon is connected to its keeper."), truth(s.Keeper.PID != 0))
	gauge(desc("problem_files", "Adapter files that were never valid."), float64(len(s.Problems)))
	state := desc("agent_state", "1 for the state that an agent is in.", "agent", "adapter", "state")
	sandbox := desc("agent_sandbox", "1 for the sandbox profile that an agent's file asks for; off is no sandbox at all.", "agent", "adapter", "profile")
	failed := desc("agent_heartbeat_failed", "Whether an agent's last heartbeat failed.", "agent", "adapter")
	for _, a := range s.Agents {
		gauge(state, 1, a.Name, a.AdapterType, a.State)
		gauge(sandbox, 1, a.Name, a.AdapterType, a.Sandbox)
		gauge(failed, truth(a.LastHeartbeat != nil && a.LastHeartbeat.Error != ""), a.Name, a.AdapterType)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
