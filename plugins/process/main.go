// Command process is the bundled adapter for any command: Paperclip's process
// adapter. Its configuration is command, args and cwd; nothing is expanded and
// no shell is involved.
package main

import "github.com/agent-launcher/agent-launcher/plugins/adapter"

func main() { adapter.Serve(process{}) }
