module corral/tests/real/go

go 1.18

require github.com/sashabaranov/go-openai v1.41.2
