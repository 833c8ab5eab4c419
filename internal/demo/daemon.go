package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// hostFile is a path in the host's own directory.
func (d *demo) hostFile(name string) string { return filepath.Join(d.dir, "host", name) }

// agentRecord is the agent in Paperclip's shape: the control plane's record and
// the host's adapter file are the same JSON.
func (d *demo) agentRecord() object {
	ref := func(name string, version any) object {
		return object{"type": "secret_ref", "secretId": d.secret(name).id, "version": version}
	}
	return object{
		"name":        agentName,
		"adapterType": "process",
		"adapterConfig": object{
			"command": filepath.Join(d.bin, "demo", "agent"),
			"args":    []string{latestName, pinnedName},
			"cwd":     filepath.Join(d.dir, "work"),
			"env":     object{latestName: ref(latestName, "latest"), pinnedName: ref(pinnedName, 1)},
		},
	}
}

// startDaemon writes the host's configuration and starts the daemon.
func (d *demo) startDaemon(ctx context.Context) (err error) {
	agent := d.agentRecord()
	agent["id"], agent["companyId"] = d.agentID, d.companyID
	config := object{
		"controlPlane": object{
			"source": "sealed", "url": d.api.url, "hostId": d.host.ID,
			"tokenFile": d.hostFile("host.token"), "signingKey": d.host.SigningKey,
		},
		"hostKeyFile": d.hostFile("host.key"),
		"adaptersDir": d.hostFile("adapters.d"),
		"pluginsDir":  filepath.Join(d.bin, "plugins"),
		"stateDir":    d.hostFile("state"),
		"socket":      d.hostFile("control.sock"),
		"heartbeat":   object{"intervalSec": 1, "jitter": 0.05},
	}
	if err := os.WriteFile(d.hostFile("host.token"), []byte(d.host.Token+"\n"), 0o600); err != nil {
		return err
	}
	if err := writeJSON(d.hostFile("adapters.d/"+agentName+".json"), agent); err != nil {
		return err
	}
	if err := writeJSON(d.hostFile("config.json"), config); err != nil {
		return err
	}
	d.daemon, err = d.start("agent-launcher", "run", "--config", d.hostFile("config.json"))
	return err
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// operate runs an operator's command against the daemon and returns its output.
func (d *demo) operate(ctx context.Context, command string, args ...string) ([]byte, error) {
	args = append([]string{command, "--socket", d.hostFile("control.sock")}, args...)
	cmd := d.command(ctx, "agent-launcher", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("agent-launcher %s: %v: %s", command, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
