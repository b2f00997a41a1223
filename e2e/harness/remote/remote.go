// Package remote is what the stand-in for kubectl and the test say to each
// other: a call as one JSON line, then its stdin; back come frames.
package remote

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Behind is a folder in each container, outside of PATH, with the programs that
// stand-ins took the place of.
const Behind = "/behind"

// Kubectl says what the stand-in answers by itself.
type Kubectl struct {
	// FreeLocks answers guard.sh as if every lock were free.
	FreeLocks bool
	// Exec runs "kubectl exec" in the test.
	Exec bool
	// Asks lets exec first ask the API server for the pod and the right.
	Asks bool
	// Pod is what "kubectl get pod" prints; "" asks the API server.
	Pod string
}

// Call is one "kubectl exec".
type Call struct {
	Namespace, Pod, Container string
	Argv                      []string
	HasStdin                  bool
}

// ParseExec reads kubectl's arguments.
func ParseExec(args []string) (Call, error) {
	var c Call
	var words []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if args[i] == "--" {
			c.Argv = args[i+1:]
			break
		}
		var to *string
		switch name {
		case "--namespace", "-n":
			to = &c.Namespace
		case "--container", "-c":
			to = &c.Container
		case "--stdin", "-i":
			c.HasStdin = true
			continue
		case "--quiet", "-q":
			continue
		default:
			if strings.HasPrefix(name, "-") {
				return c, fmt.Errorf("unknown flag: %s", name)
			}
			words = append(words, args[i])
			continue
		}
		if !joined {
			i++
			if i == len(args) {
				return c, fmt.Errorf("flag needs an argument: %s", name)
			}
			value = args[i]
		}
		*to = value
	}
	if len(words) != 2 || len(c.Argv) == 0 {
		return c, errors.New("you must specify at least one command for the container")
	}
	c.Pod = strings.TrimPrefix(words[1], "pod/")
	return c, nil
}

// WriteCall sends a call.
func WriteCall(w io.Writer, c Call) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// ReadCall receives one. What is left in the reader is its stdin.
func ReadCall(r *bufio.Reader) (Call, error) {
	var c Call
	line, err := r.ReadBytes('\n')
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(line, &c)
}

// The kinds of frames.
const (
	frameStdout = 1
	frameStderr = 2
	frameExit   = 3
)

// Answer sends frames.
type Answer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewAnswer makes an Answer on a connection.
func NewAnswer(w io.Writer) *Answer { return &Answer{w: w} }

// Stdout and Stderr are streams of the answer.
func (a *Answer) Stdout() io.Writer { return stream{a, frameStdout} }

// Stderr is the second stream.
func (a *Answer) Stderr() io.Writer { return stream{a, frameStderr} }

// Exit ends the answer.
func (a *Answer) Exit(code int) error { return a.send(frameExit, []byte{byte(code)}) }

func (a *Answer) send(kind byte, data []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	head := [5]byte{kind}
	binary.BigEndian.PutUint32(head[1:], uint32(len(data)))
	if _, err := a.w.Write(head[:]); err != nil {
		return err
	}
	_, err := a.w.Write(data)
	return err
}

type stream struct {
	answer *Answer
	kind   byte
}

func (s stream) Write(p []byte) (int, error) {
	if err := s.answer.send(s.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadAnswer copies an answer's streams and returns the exit code.
func ReadAnswer(r io.Reader, stdout, stderr io.Writer) (int, error) {
	var head [5]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0, err
		}
		length := int64(binary.BigEndian.Uint32(head[1:]))
		switch head[0] {
		case frameStdout, frameStderr:
			to := stdout
			if head[0] == frameStderr {
				to = stderr
			}
			if _, err := io.CopyN(to, r, length); err != nil {
				return 0, err
			}
		case frameExit:
			var code [1]byte
			_, err := io.ReadFull(r, code[:])
			return int(code[0]), err
		default:
			return 0, fmt.Errorf("unknown frame %d", head[0])
		}
	}
}
