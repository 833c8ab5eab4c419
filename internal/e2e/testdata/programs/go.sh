# A module without dependencies, its cache in HOME. println: with fmt the
# compiler would have twice as much to do.
set -eu
mkdir -p module/answer
cd module
cat >go.mod <<END
module example.com/agent

go 1.26
END
cat >answer/answer.go <<END
package answer

func Answer() int { return 42 }
END
cat >main.go <<END
package main

import "example.com/agent/answer"

func main() { println("built", answer.Answer()) }
END
go build -o program .
./program
case $(go env GOCACHE) in "$HOME"/*) echo "cache in HOME" ;; *) go env GOCACHE ;; esac
