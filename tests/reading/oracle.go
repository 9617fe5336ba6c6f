// oracle: does corral read a body as Go's encoding/json does, the way Ollama uses it?
//
//	oracle READING COUNT SEED [PAIRS]
//
// Generates COUNT bodies, asks READING (tests/reading/reading.c) about each, and decodes what would
// be sent into structs that hold the fields Ollama has. Whatever corral accepts, Go must read the
// same way or refuse too. PAIRS: a file for bodies and Go's reading of them, one line of JSON each,
// to compare where there is no Go.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

var paths = []string{"/api/chat", "/api/generate", "/api/embed", "/api/embeddings",
	"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
	"/api/show"}

const bound = 64

// The fields that count, of all routes: which of them a route has says hasX below.
type native struct {
	Model     string            `json:"model"`
	Name      string            `json:"name"`
	Prompt    string            `json:"prompt"`
	Messages  []json.RawMessage `json:"messages"`
	Stream    *bool             `json:"stream,omitempty"`
	KeepAlive any               `json:"keep_alive,omitempty"`
	Shift     *bool             `json:"shift,omitempty"`
	Options   map[string]any    `json:"options"`
	Debug     bool              `json:"_debug_render_only"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type openai struct {
	Model           string            `json:"model"`
	Messages        []json.RawMessage `json:"messages"`
	Stream          bool              `json:"stream"`
	StreamOptions   *streamOptions    `json:"stream_options"`
	MaxTokens       *int              `json:"max_tokens"`
	MaxOutputTokens *int              `json:"max_output_tokens"`
	Debug           bool              `json:"_debug_render_only"`
}

type reading struct {
	OK       bool   `json:"ok"`
	Stream   bool   `json:"stream"`
	Asked    int64  `json:"asked"`
	Bound    int64  `json:"bound"`
	Messages int    `json:"messages"`
	Model    string `json:"model"`
	Sent     string `json:"sent"`
}

type pair struct {
	Route  string `json:"route"`
	Body   []byte `json:"body"`
	Error  bool   `json:"error"` // Go refuses it
	Model  string `json:"model"`
	Stream bool   `json:"stream"`
	Asked  int64  `json:"asked"`
}

func isNative(route int) bool { return strings.HasPrefix(paths[route], "/api/") }

func generates(route int) bool { return route < 2 }

func neverStreams(route int) bool {
	return route == 2 || route == 3 || route == 6 || route == 9
}

// As gin binds a body: one value is decoded; what follows it is not looked at.
func decode(body []byte, into any) error {
	return json.NewDecoder(bytes.NewReader(body)).Decode(into)
}

func number(v any) (int64, bool) {
	f, ok := v.(float64)
	return int64(f), ok
}

// What Go reads in a body.
func read(route int, body []byte) (p pair, n native, o openai) {
	p = pair{Route: paths[route], Body: body, Asked: -1}
	if isNative(route) {
		p.Error = decode(body, &n) != nil
		p.Model = n.Model
		if p.Model == "" {
			p.Model = n.Name
		}
		p.Stream = generates(route) && (n.Stream == nil || *n.Stream)
		if v, ok := number(n.Options["num_predict"]); ok && generates(route) && v > 0 {
			p.Asked = v
		}
		return p, n, o
	}
	p.Error = decode(body, &o) != nil
	p.Model = o.Model
	p.Stream = o.Stream && !neverStreams(route)
	limit := o.MaxTokens
	if route == 7 {
		limit = o.MaxOutputTokens
	}
	if limit != nil && *limit > 0 && route != 6 {
		p.Asked = int64(*limit)
	}
	return p, n, o
}

var runner = []string{"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread",
	"draft_num_predict"}

// Why what corral would send is not what it says; "" when all is well.
func fault(route int, body []byte, r *reading) string {
	p, n, o := read(route, []byte(r.Sent))
	if p.Error {
		return "" // Ollama refuses it
	}
	asked, _, _ := read(route, body)
	switch {
	case p.Model != r.Model:
		return "the model sent is " + p.Model
	case !asked.Error && asked.Model != r.Model:
		return "the model asked for is " + asked.Model
	case p.Stream != r.Stream:
		return "stream is another"
	case n.Debug || o.Debug:
		return "a private field passes"
	case n.KeepAlive != nil:
		return "keep_alive passes"
	case n.Shift != nil:
		return "shift passes"
	case p.Asked > bound:
		return fmt.Sprint("output is bounded by ", p.Asked)
	case (generates(route) || route == 4 || route == 5 || route == 7 || route == 8) &&
		(p.Asked <= 0 || p.Asked != r.Bound):
		return fmt.Sprint("output is bounded by ", p.Asked, " and not ", r.Bound)
	case route == 0 && len(n.Messages) != r.Messages:
		return "messages are counted otherwise"
	case (route == 4 || route == 8) && len(o.Messages) != r.Messages:
		return "messages are counted otherwise"
	case (route == 4 || route == 5) && o.Stream && (o.StreamOptions == nil || !o.StreamOptions.IncludeUsage):
		return "usage is not asked for"
	}
	for _, name := range runner {
		if _, there := n.Options[name]; there && generates(route) {
			return name + " passes"
		}
	}
	return ""
}

// ---- bodies ----

type maker struct{ *rand.Rand }

func (m maker) one(of ...string) string { return of[m.Intn(len(of))] }

var keys = []string{"model", "model", "model", "name", "stream", "stream", "stream_options", "options",
	"options", "keep_alive", "shift", "insecure", "prompt", "messages", "input", "images", "max_tokens",
	"max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "x", "raw", "format",
	"_debug_render_only", "source", "num_predict"}

var inner = []string{"num_predict", "num_predict", "num_ctx", "num_gpu", "seed", "include_usage",
	"num_thread", "use_mmap", "temperature", "main_gpu", "x", "num_batch"}

// A key as some would spell it: escaped, in other case, with letters that fold to it.
func (m maker) key(name string) string {
	var b strings.Builder
	b.WriteByte('"')
	odd := m.Intn(6) == 0
	for _, c := range name {
		switch {
		case !odd || m.Intn(3) != 0:
			b.WriteRune(c)
		case m.Intn(4) == 0:
			b.WriteString(strings.ToUpper(string(c)))
		case m.Intn(3) == 0:
			fmt.Fprintf(&b, "\\u%04x", c)
		case c == 'k':
			b.WriteString(m.one("\u212a", "\\u212a", "\\u212A"))
		case c == 's':
			b.WriteString(m.one("\u017f", "\\u017f"))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (m maker) number() string {
	return m.one("0", "-0", "1", "5", "63", "64", "65", "100", "1000000", "-1", "-2", "1e2", "1E1", "5.0",
		"0.5", "1e400", "9007199254740993", "9223372036854775807", "9223372036854775808", "-1e300",
		"0123", "1.", "+1", ".5", "1e-3", "5e0", strconv.Itoa(m.Intn(200)))
}

func (m maker) text() string {
	return m.one(`"tiny"`, `"tiny"`, `"tiny"`, `"other:latest"`, `""`, `"ti\u006ey"`, `"a/b"`, `"tiny\u0000"`,
		`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, "\"\xff\"", "\"\u00e9\"", `"a\/b"`, `" tiny "`, `"x\ny"`, `"\\"`,
		`"\""`, "\"\t\"", `"tiny:cloud"`, `"}"`, `"{\"model\":\"evil\"}"`)
}

func (m maker) object(names []string, depth int) string {
	var parts []string
	for i := m.Intn(5); i > 0; i-- {
		parts = append(parts, m.key(m.one(names...))+m.space()+":"+m.space()+m.value("", depth+1))
	}
	return "{" + m.space() + strings.Join(parts, m.space()+","+m.space()) + m.space() + "}"
}

func (m maker) list(depth int) string {
	var parts []string
	for i := m.Intn(4); i > 0; i-- {
		parts = append(parts, m.value("", depth+1))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (m maker) any(depth int) string {
	switch m.Intn(8) {
	case 0:
		return m.number()
	case 1:
		return m.text()
	case 2:
		return "true"
	case 3:
		return "false"
	case 4:
		return "null"
	case 5:
		if depth < 6 {
			return m.list(depth)
		}
		return "[]"
	default:
		if depth < 6 {
			return m.object(inner, depth)
		}
		return "{}"
	}
}

// Mostly what the field wants.
func (m maker) value(name string, depth int) string {
	if m.Intn(12) == 0 {
		return m.any(depth)
	}
	switch name {
	case "model", "name", "prompt", "source":
		return m.text()
	case "stream", "shift", "insecure", "raw", "_debug_render_only":
		return m.one("true", "false", "null")
	case "options", "stream_options":
		return m.object(inner, depth)
	case "messages", "images":
		return m.one(`[]`, `[{"role":"user","content":"x"}]`, `[{"role":"user","content":"x"},{"content":[{"text":"y"}]}]`)
	case "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "num_predict":
		return m.number()
	}
	return m.any(depth)
}

func (m maker) space() string {
	if m.Intn(10) != 0 {
		return ""
	}
	return m.one(" ", "\n", "\t", "\r\n", "  ")
}

func (m maker) body() []byte {
	var parts []string
	seen := map[string]bool{}
	if m.Intn(10) != 0 {
		seen["model"] = true
		parts = append(parts, `"model":"tiny"`)
	}
	for i := m.Intn(6); i > 0; i-- {
		name := m.one(keys...)
		if seen[name] && m.Intn(20) != 0 {
			continue // twice is refused at once: seldom
		}
		seen[name] = true
		parts = append(parts, m.key(name)+m.space()+":"+m.space()+m.value(name, 1))
	}
	m.Shuffle(len(parts), func(a, b int) { parts[a], parts[b] = parts[b], parts[a] })
	body := []byte(m.space() + "{" + m.space() + strings.Join(parts, m.space()+","+m.space()) + "}" + m.space())
	if m.Intn(8) == 0 {
		body = m.bend(body)
	}
	return body
}

// One byte other, out, in, or a piece twice.
func (m maker) bend(body []byte) []byte {
	at := m.Intn(len(body))
	switch m.Intn(5) {
	case 0:
		body[at] = byte(m.Intn(256))
	case 1:
		body = append(body[:at:at], body[at+1:]...)
	case 2:
		body = append(append(body[:at:at], m.one(`"`, `\`, `,`, `{`, `}`, `]`, "\x00", ` `, "\xe2", `:`)...), body[at:]...)
	case 3:
		end := at + m.Intn(len(body)-at)
		body = append(append(body[:end:end], body[at:end]...), body[end:]...)
	default:
		body = append(body, m.one(`{}`, `x`, ` {"model":"evil"}`, `,`, `]`)...)
	}
	return body
}

// ---- asking ----

func send(in io.Writer, route int, body []byte) {
	head := []byte{byte(route), 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(head[1:], uint32(len(body)))
	in.Write(head)
	in.Write(body)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
}

type asked struct {
	route int
	body  []byte
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	must(err)
	seed, err := strconv.ParseInt(os.Args[3], 10, 64)
	must(err)
	command := exec.Command(os.Args[1])
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	must(err)
	out, err := command.StdoutPipe()
	must(err)
	must(command.Start())
	var pairs *os.File
	if len(os.Args) > 4 {
		pairs, err = os.Create(os.Args[4])
		must(err)
	}
	waiting := make(chan asked, 256)
	go func() {
		m := maker{rand.New(rand.NewSource(seed))}
		to := bufio.NewWriter(in)
		for i := 0; i < count; i++ {
			a := asked{m.Intn(len(paths)), m.body()}
			send(to, a.route, a.body)
			waiting <- a
			if len(waiting) >= 128 || i == count-1 {
				to.Flush()
			}
		}
		to.Flush()
		in.Close()
		close(waiting)
	}()
	lines := bufio.NewReaderSize(out, 1<<20)
	accepted, bad := 0, 0
	for a := range waiting {
		line, err := lines.ReadBytes('\n')
		must(err)
		var r reading
		must(json.Unmarshal(line, &r))
		if pairs != nil {
			p, _, _ := read(a.route, a.body)
			text, err := json.Marshal(p)
			must(err)
			fmt.Fprintf(pairs, "%s\n", text)
		}
		if !r.OK {
			continue
		}
		accepted++
		if why := fault(a.route, a.body, &r); why != "" && bad < 20 {
			bad++
			fmt.Printf("%s %q\n  sent %q\n  %s\n", paths[a.route], a.body, r.Sent, why)
		}
	}
	must(command.Wait())
	fmt.Printf("seed %d: %d bodies, %d accepted, %d read otherwise\n", seed, count, accepted, bad)
	if bad > 0 || accepted < count/20 {
		os.Exit(1)
	}
}
