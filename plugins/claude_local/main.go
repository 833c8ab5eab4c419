// Command claude_local is the bundled adapter for Claude Code, Anthropic's
// command-line agent: Paperclip's claude_local. Facts about the tool are of
// version 2.1.330.
package main

import "github.com/agent-launcher/agent-launcher/plugins/adapter"

func main() { adapter.Serve(claude{}) }
