// go-openai through corral: as clients.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	openai "github.com/sashabaranov/go-openai"
)

type settings struct{ Base, Model, Hf, Key string }

// withFields adds fields whose names have an underscore, as error trackers do.
type withFields struct{ next http.RoundTripper }

func (w withFields) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header["session_id"] = []string{"abc-123"}
	r.Header["x_trace_id"] = []string{"7"}
	return w.next.RoundTrip(r)
}

func ask(told settings, model, say string, stream bool) ([]string, error) {
	config := openai.DefaultConfig(told.Key)
	config.BaseURL = told.Base + "/v1"
	config.HTTPClient = &http.Client{Transport: withFields{http.DefaultTransport}}
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{Model: model, MaxTokens: 24,
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: say}}}
	if !stream {
		answer, err := client.CreateChatCompletion(context.Background(), request)
		if err != nil {
			return nil, err
		}
		return []string{answer.Choices[0].Message.Content}, nil
	}
	parts, err := client.CreateChatCompletionStream(context.Background(), request)
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	var pieces []string
	for {
		part, err := parts.Recv()
		if errors.Is(err, io.EOF) {
			return pieces, nil
		}
		if err != nil {
			return nil, err
		}
		if len(part.Choices) > 0 && part.Choices[0].Delta.Content != "" {
			pieces = append(pieces, part.Choices[0].Delta.Content)
		}
	}
}

func main() {
	var told settings
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, c := range []struct {
		name, model, say string
		stream           bool
	}{
		{"chat", told.Model, "Say hello.", false},
		{"stream", told.Model, "Say hello.", true},
		{"hf.co", told.Hf, "Say hello.", false},
		{"hf.co stream", told.Hf, "Say hello.", true},
		{"large", told.Model, strings.Repeat("x", 25000000), false},
	} {
		found := map[string]any{"case": c.name}
		if pieces, err := ask(told, c.model, c.say, c.stream); err != nil {
			found["raised"], found["message"] = fmt.Sprintf("%T", err), err.Error()
		} else {
			found["text"], found["pieces"] = strings.Join(pieces, ""), len(pieces)
		}
		_ = json.NewEncoder(os.Stdout).Encode(found)
	}
}
