package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// startControlPlane starts it on a port of the kernel's choice and makes an
// operator for the demo's company: the bootstrap token is used for no more.
func (d *demo) startControlPlane(ctx context.Context) (err error) {
	data := filepath.Join(d.dir, "control-plane")
	d.controlPlane, err = d.start("control-plane", "serve", "--data", data, "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.api = &client{values: d.canaries}
	err = d.controlPlane.until(ctx, "a healthy control plane", func(ctx context.Context) (bool, error) {
		d.api.url = d.controlPlane.address()
		var health struct{ Status string }
		return d.api.url != "" && d.api.call(ctx, "GET", "/api/health", nil, &health) == nil && health.Status == "ok", nil
	})
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(data, "operator.token"))
	if err != nil {
		return d.controlPlane.fail(err)
	}
	d.api.token = strings.TrimSpace(string(token))
	if err := d.createOperator(ctx); err != nil {
		return d.controlPlane.fail(err)
	}
	d.out.ok("control plane", "%s, SQLite in a temporary directory", d.api.url)
	return nil
}

func (d *demo) createOperator(ctx context.Context) error {
	var company idReply
	if err := d.api.call(ctx, "POST", "/api/companies", object{"name": "Demo"}, &company); err != nil {
		return err
	}
	d.companyID = company.ID
	var operator operatorReply
	err := d.api.call(ctx, "POST", "/api/operators", object{"name": "demo", "companyIds": []string{company.ID}}, &operator)
	d.api.token = operator.Token
	return err
}

var listening = regexp.MustCompile(`(?m)^listening on (\S+)$`)

// address is the URL that the program says it listens on, or "".
func (p *process) address() string {
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return ""
	}
	if found := listening.FindSubmatch(log); found != nil {
		return string(found[1])
	}
	return ""
}

func (d *demo) createSecrets(ctx context.Context) error {
	for _, s := range d.secrets {
		var reply secretReply
		body := object{"name": s.name, "value": s.values[0]}
		if err := d.api.call(ctx, "POST", "/api/companies/"+d.companyID+"/secrets", body, &reply); err != nil {
			return d.controlPlane.fail(err)
		}
		s.id = reply.ID
	}
	d.out.ok("secrets", "%s and %s stored encrypted; no reply holds a value", latestName, pinnedName)
	return nil
}

// enrolHost makes the host key, registers its public half, and gives the host
// an agent.
func (d *demo) enrolHost(ctx context.Context) error {
	keygen := d.command(ctx, "agent-launcher", "keygen", "--out", d.hostFile("host.key"))
	keygen.Stderr = os.Stderr
	publicKey, err := keygen.Output()
	if err != nil {
		return fmt.Errorf("cannot make a host key: %v", err)
	}
	body := object{"name": "demo-host", "publicKey": strings.TrimSpace(string(publicKey))}
	if err := d.api.call(ctx, "POST", "/api/companies/"+d.companyID+"/hosts", body, &d.host); err != nil {
		return d.controlPlane.fail(err)
	}
	agent := d.agentRecord()
	agent["hostId"] = d.host.ID
	var reply idReply
	if err := d.api.call(ctx, "POST", "/api/companies/"+d.companyID+"/agents", agent, &reply); err != nil {
		return d.controlPlane.fail(err)
	}
	d.agentID = reply.ID
	d.out.ok("host", "key made, private half stays in its file; host enrolled, agent assigned")
	return nil
}

// rotate gives both secrets a second value and waits for a run that has it.
func (d *demo) rotate(ctx context.Context) error {
	for _, s := range []*secret{d.secret(pinnedName), d.secret(latestName)} {
		var reply secretReply
		if err := d.api.call(ctx, "PATCH", "/api/secrets/"+s.id, object{"value": s.next()}, &reply); err != nil {
			return d.controlPlane.fail(err)
		}
		if reply.LatestVersion != 2 {
			return d.controlPlane.fail(fmt.Errorf("%s is at version %d after a PATCH, want 2", s.name, reply.LatestVersion))
		}
	}
	return d.secondRun(ctx)
}
