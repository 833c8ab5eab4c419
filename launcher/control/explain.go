package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Explanation says what an agent may do, and why it does nothing.
type Explanation struct {
	Agent      string             `json:"agent"`
	File       string             `json:"file"`                 // its adapter file
	NotRunning string             `json:"notRunning,omitempty"` // why, in one sentence; empty while it runs
	RunsAs     string             `json:"runsAs,omitempty"`
	Policy     *sandbox.Explained `json:"policy,omitempty"` // nil: its file was never valid
	Verdicts   []sandbox.Verdict  `json:"verdicts"`
}

// Subjects are what an explanation is asked about.
type Subjects struct {
	Paths []string // absolute
	Ports []uint16
}

// maxSubjects bounds one question: each looks at the file system.
const maxSubjects = 64

// Explain asks what the agent may do, in particular with these subjects. The
// daemon looks at the paths: they must come from a person, never from what an
// agent printed.
func (c *Client) Explain(ctx context.Context, agent string, about Subjects) (*Explanation, error) {
	q := url.Values{"path": about.Paths}
	for _, p := range about.Ports {
		q.Add("port", strconv.Itoa(int(p)))
	}
	var x Explanation
	return &x, c.call(ctx, http.MethodGet, agentPath(agent, "explain")+"?"+q.Encode(), &x)
}

func explain(d Daemon, r *http.Request) (any, error) {
	q := r.URL.Query()
	about := Subjects{Paths: q["path"]}
	if n := len(q["path"]) + len(q["port"]); n > maxSubjects {
		return nil, fmt.Errorf("cannot explain %d paths and ports at once: the limit is %d", n, maxSubjects)
	}
	for _, p := range about.Paths {
		if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) || len(p) > 4096 { // PATH_MAX
			return nil, fmt.Errorf("cannot explain a path that is not absolute, or longer than 4096 bytes")
		}
	}
	for _, p := range q["port"] {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("cannot explain a port that is not from 1 to 65535")
		}
		about.Ports = append(about.Ports, uint16(n))
	}
	return d.Explain(r.Context(), r.PathValue("name"), about)
}
