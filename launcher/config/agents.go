package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadAgents reads every adapter file of dir: *.json that do not begin with a
// dot. What editors leave beside them (a.json~, .a.json.swp, #a.json#) has
// other names. It returns the good ones in the order of their names, and the
// problems of the bad ones together with warnings about the good.
func LoadAgents(dir string) (agents []*Agent, problems Problems) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, Problems{about(dir, fmt.Errorf("cannot read adaptersDir: %w", err))}
	}
	byID := map[string]string{} // the file of each id
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		file := filepath.Join(dir, e.Name())
		a, d, n := load(file)
		if n == nil && gone(file) {
			continue
		}
		// A bad file keeps its id: the daemon may still run its last good state.
		if first := byID[a.ID]; first != "" {
			d.fault(n.byName["id"], "the same agent as in %s", first)
		} else if a.ID != "" {
			byID[a.ID] = file
		}
		problems = append(problems, d.all()...)
		if d.errors == 0 {
			agents = append(agents, a)
		}
	}
	return agents, problems
}

// gone reports that a file was removed since its directory was read.
func gone(file string) bool {
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}
