package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// tests runs the tests of the package here in groups side by side, for most of
// them wait for servers: one "go test -json" for each regular expression, and
// one for what none of them matches. Their events come as one stream, whole
// lines each.
func tests(groups []string) io.Reader {
	arguments := make([][]string, 0, len(groups)+1)
	for _, group := range groups {
		arguments = append(arguments, []string{"-run", "^Test(" + group + ")"})
	}
	arguments = append(arguments, []string{"-skip", "^Test(" + strings.Join(groups, "|") + ")"})

	reader, writer := io.Pipe()
	var running sync.WaitGroup
	var turn sync.Mutex
	for _, own := range arguments {
		running.Go(func() {
			command := exec.Command("go", append([]string{"test", "-json", "-count=1", "-timeout=50m"}, append(own, ".")...)...)
			command.Stderr = os.Stderr
			output, err := command.StdoutPipe()
			if err == nil {
				err = command.Start()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "table:", err)
				return // no event of this group's end will come, which is a failure
			}
			lines := bufio.NewReader(output)
			for {
				line, err := lines.ReadBytes('\n')
				turn.Lock()
				_, _ = writer.Write(line)
				turn.Unlock()
				if err != nil {
					break
				}
			}
			_ = command.Wait() // its events say how it ended
		})
	}
	go func() {
		running.Wait()
		_ = writer.Close()
	}()
	return reader
}
