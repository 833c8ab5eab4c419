package plugins

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// maxChecks bounds how many checks of one answer are shown.
const maxChecks = 50

// TestEnvironment asks the plugin of adapterType whether this host has what an
// agent needs. A plugin that cannot tell has no checks. The error is *Error.
func (h *Host) TestEnvironment(ctx context.Context, adapterType string, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	request := &adapterpb.TestEnvironmentRequest{AgentId: r.AgentID, AgentName: r.AgentName, CompanyId: r.CompanyID,
		Config: r.Config, Env: r.Env, SecretNames: r.SecretNames}
	if err := fits(adapterType, request); err != nil {
		return nil, err
	}
	var reply *adapterpb.TestEnvironmentResponse
	err := h.call(ctx, adapterType, "TestEnvironment", func(ctx context.Context, c adapterpb.AdapterClient) (err error) {
		if reply, err = c.TestEnvironment(ctx, request); status.Code(err) == codes.Unimplemented {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return readChecks(adapterType, reply)
}

// fits refuses a request that the plugin would not take.
func fits(adapterType string, request proto.Message) error {
	if n := proto.Size(request); n > adapter.MaxMessageSize {
		return &Error{Plugin: clean(adapterType, maxTypeLen), Kind: KindConfig,
			Message: fmt.Sprintf("adapterConfig and plain variables take %d bytes, limit %d", n, adapter.MaxMessageSize)}
	}
	return nil
}

func readChecks(plugin string, reply *adapterpb.TestEnvironmentResponse) ([]adapter.Check, error) {
	var out []adapter.Check
	for i, c := range reply.GetChecks() {
		if i == maxChecks {
			return append(out, adapter.Check{Level: adapter.LevelWarn, Message: fmt.Sprintf("%d more checks", len(reply.GetChecks())-i)}), nil
		}
		check := adapter.Check{Level: adapter.Level(c.GetLevel()), Field: clean(c.GetField(), maxMessage),
			Message: clean(c.GetMessage(), maxMessage), Hint: clean(c.GetHint(), maxMessage)}
		switch check.Level {
		case adapter.LevelInfo, adapter.LevelWarn, adapter.LevelError:
		default:
			return nil, &Error{Plugin: plugin, Kind: KindAnswer, Field: fmt.Sprintf("checks[%d].level", i), Message: "is not info, warn or error"}
		}
		if check.Message == "" {
			check.Message = "said nothing"
		}
		out = append(out, check)
	}
	return out, nil
}
