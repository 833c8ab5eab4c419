// Command codex_local is the bundled adapter for Codex, OpenAI's command-line
// agent: Paperclip's codex_local. Facts about the tool are of version 0.169.0.
package main

import "github.com/agent-launcher/agent-launcher/plugins/adapter"

func main() { adapter.Serve(codex{}) }
