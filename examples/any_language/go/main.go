// Send one request with amqp091-go and wait for its outcome.
//
//	go mod init example && go get github.com/rabbitmq/amqp091-go
//	go run . [IDEMPOTENCY_KEY]
//
// Exit codes: 0 succeeded, 1 ended otherwise, 3 not confirmed by the broker or connection lost, 4 no outcome in
// time. After 3 and 4 run again with the same key: the request is computed once.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	keyNamespace = "\x6f\x0e\x4f\x4c\x4d\x5b\x5d\x0a\x9f\x0b\x8c\x6f\x2d\x1c\x9a\x10"
	timeout      = 30 * time.Second
)

var errNoOutcome = errors.New("no outcome in time")

type tensor struct {
	Name     string    `json:"name"`
	Shape    []int     `json:"shape"`
	Datatype string    `json:"datatype"`
	Data     []float32 `json:"data"`
}

type request struct {
	ID          string              `json:"id"`
	Model       string              `json:"model"`
	Class       string              `json:"class"`
	SubmittedAt float64             `json:"submitted_at"`
	Deadline    float64             `json:"deadline,omitempty"`
	Data        map[string][]tensor `json:"data"`
}

type outcome struct {
	State      string          `json:"state"`
	ErrorClass string          `json:"error_class"`
	Error      string          `json:"error"`
	Result     json.RawMessage `json:"result"`
	ResultRef  json.RawMessage `json:"result_ref"`
}

// requestID returns the UUIDv5 of a key, or a new UUIDv7 without one.
func requestID(key string) string {
	var b [16]byte
	if key != "" {
		sum := sha1.Sum([]byte(keyNamespace + key))
		copy(b[:], sum[:])
		b[6] = b[6]&0x0f | 0x50
	} else {
		random(b[:])
		now := time.Now().UnixMilli()
		for i := 5; i >= 0; i-- {
			b[i] = byte(now)
			now >>= 8
		}
		b[6] = b[6]&0x0f | 0x70
	}
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func random(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}

func buildRequest(id string) request {
	now := float64(time.Now().UnixMicro()) / 1e6
	image := tensor{Name: "images", Shape: []int{1, 64}, Datatype: "FP32", Data: make([]float32, 64)}
	return request{
		ID:          id,
		Model:       "digits",
		Class:       "interactive",
		SubmittedAt: now,
		Deadline:    now + timeout.Seconds(),
		Data:        map[string][]tensor{"inputs": {image}},
	}
}

// openReplyQueue declares an exclusive queue, which is deleted with its connection. Its name is the reply address.
func openReplyQueue(connection *amqp.Connection) (string, <-chan amqp.Delivery, error) {
	channel, err := connection.Channel()
	if err != nil {
		return "", nil, err
	}
	name := make([]byte, 12)
	random(name)
	replyQueue := "straightline.reply." + hex.EncodeToString(name)
	// durable, autoDelete, exclusive, noWait
	if _, err := channel.QueueDeclare(replyQueue, false, true, true, false, nil); err != nil {
		return "", nil, err
	}
	if err := channel.QueueBind(replyQueue, replyQueue, "straightline.replies", false, nil); err != nil {
		return "", nil, err
	}
	// consumer, autoAck, exclusive, noLocal, noWait
	pushed, err := channel.Consume(replyQueue, "", true, true, false, false, nil)
	return replyQueue, pushed, err
}

// publish returns when the broker has confirmed the request.
func publish(ctx context.Context, connection *amqp.Connection, r request, replyTo string) error {
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	const mandatory, immediate = true, false
	err = channel.PublishWithContext(
		ctx, "straightline.requests", r.Class, mandatory, immediate, amqp.Publishing{
			Type:          "straightline.request.v1",
			ContentType:   "application/json",
			DeliveryMode:  amqp.Persistent,
			MessageId:     r.ID,
			CorrelationId: r.ID,
			ReplyTo:       replyTo,
			Body:          body,
		})
	if err != nil {
		return err
	}
	var confirmation amqp.Confirmation // the zero value if the connection was lost
	select {
	case confirmation = <-confirmed:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case back, open := <-returned: // arrives before the confirm
		if open {
			return fmt.Errorf("no queue is bound for this key: %s", back.ReplyText)
		}
	default:
	}
	if !confirmation.Ack {
		return errors.New("the broker refused the request, or the connection was lost")
	}
	return nil
}

func send(ctx context.Context, url string, r request) (outcome, error) {
	var result outcome
	connection, err := amqp.Dial(url)
	if err != nil {
		return result, err
	}
	defer connection.Close()
	replyTo, pushed, err := openReplyQueue(connection)
	if err != nil {
		return result, err
	}
	if err := publish(ctx, connection, r, replyTo); err != nil {
		return result, err
	}
	for {
		select {
		case message, open := <-pushed:
			if !open {
				return result, errors.New("the connection was lost")
			}
			if message.CorrelationId == r.ID {
				return result, json.Unmarshal(message.Body, &result)
			}
		case <-ctx.Done():
			return result, errNoOutcome
		}
	}
}

func main() {
	key := ""
	if len(os.Args) > 1 {
		key = os.Args[1]
	}
	r := buildRequest(requestID(key))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result, err := send(ctx, os.Getenv("STRAIGHTLINE_BROKER_URL"), r)
	switch {
	case errors.Is(err, errNoOutcome):
		fmt.Fprintf(os.Stderr, "%s has no outcome yet: run again with the same key\n", r.ID)
		os.Exit(4)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s was not confirmed, or the connection was lost: %v\n", r.ID, err)
		os.Exit(3)
	case result.State != "succeeded": // failed, rejected, expired, cancelled
		fmt.Fprintln(os.Stderr, result.State, result.ErrorClass, result.Error)
		os.Exit(1)
	}
	// A large result is in the store: `result_ref` is its location.
	if result.Result == nil {
		result.Result = result.ResultRef
	}
	fmt.Println("succeeded", string(result.Result))
}
