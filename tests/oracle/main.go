// Command oracle asks github.com/nats-io/jwt/v2 about tokens: one question a line on the standard input, one answer a
// line on the standard output, both JSON. It is the other side of tests/jwt_differential.rs.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

type part struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

type question struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Token    string `json:"token"`
	Recipe   []part `json:"recipe"`
	Operator string `json:"operator"`
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Imported string `json:"subject"`
	Key      string `json:"key"`
}

type issue struct {
	Text      string `json:"text"`
	Blocking  bool   `json:"blocking"`
	TimeCheck bool   `json:"time_check"`
}

type keyAnswer struct {
	Canonical bool `json:"canonical"`
}

type answer struct {
	ID                  string     `json:"id"`
	Decode              string     `json:"decode"`
	Panicked            bool       `json:"panicked"`
	Sub                 string     `json:"sub"`
	Iss                 string     `json:"iss"`
	Iat                 int64      `json:"iat"`
	Exp                 int64      `json:"exp"`
	Nbf                 int64      `json:"nbf"`
	Jti                 string     `json:"jti"`
	Name                string     `json:"name"`
	Version             int        `json:"version"`
	Issues              []issue    `json:"issues"`
	BlockingWithoutTime bool       `json:"blocking_without_time"`
	BlockingWithTime    bool       `json:"blocking_with_time"`
	OperatorDecode      string     `json:"operator_decode,omitempty"`
	DidSign             *bool      `json:"did_sign,omitempty"`
	HashID              string     `json:"hash_id,omitempty"`
	Key                 *keyAnswer `json:"key,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	buffered := bufio.NewWriter(out)
	questions, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(buffered)
	answers.SetEscapeHTML(false)
	for {
		var q question
		if err := questions.Decode(&q); err == io.EOF {
			return buffered.Flush()
		} else if err != nil {
			return err
		}
		a := answer{ID: q.ID, Decode: "ok", Issues: []issue{}}
		a.fill(q)
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// fill answers a question. The library may panic, which refuses a token as well as any error.
func (a *answer) fill(q question) {
	defer func() {
		if cause := recover(); cause != nil {
			a.Panicked = true
			a.Decode = fmt.Sprint("panic: ", cause)
		}
	}()
	switch q.Kind {
	case "hash":
		var c jwt.ActivationClaims
		c.Issuer, c.Subject, c.ImportSubject = q.Issuer, q.Subject, jwt.Subject(q.Imported)
		a.HashID = hashID(&c)
	case "nkey":
		pair, err := nkeys.FromPublicKey(q.Key)
		canonical := false
		if err == nil {
			text, err := pair.PublicKey()
			canonical = err == nil && text == q.Key
		}
		a.Key = &keyAnswer{canonical}
	default:
		claims, version, err := decode(q)
		if err != nil {
			a.Decode = err.Error()
			return
		}
		a.describe(claims, version)
		if q.Operator != "" {
			a.askOperator(q.Operator, claims)
		}
	}
}

func (a *answer) describe(claims jwt.Claims, version int) {
	data := claims.Claims()
	a.Sub, a.Iss, a.Jti, a.Name = data.Subject, data.Issuer, data.ID, data.Name
	a.Iat, a.Exp, a.Nbf, a.Version = data.IssuedAt, data.Expires, data.NotBefore, version
	if activation, ok := claims.(*jwt.ActivationClaims); ok {
		a.HashID = hashID(activation)
	}
	var found jwt.ValidationResults
	claims.Validate(&found)
	for _, i := range found.Issues {
		a.Issues = append(a.Issues, issue{i.Description, i.Blocking, i.TimeCheck})
	}
	a.BlockingWithoutTime, a.BlockingWithTime = found.IsBlocking(false), found.IsBlocking(true)
}

func (a *answer) askOperator(token string, claims jwt.Claims) {
	signed := false
	operator, err := jwt.DecodeOperatorClaims(token)
	if err != nil {
		a.OperatorDecode = err.Error()
	} else {
		a.OperatorDecode, signed = "ok", operator.DidSign(claims)
	}
	a.DidSign = &signed
}

func decode(q question) (jwt.Claims, int, error) {
	token := q.Token
	for _, p := range q.Recipe {
		token += strings.Repeat(p.Text, p.Times)
	}
	switch q.Kind {
	case "account":
		c, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			return nil, 0, err
		}
		return c, c.Version, nil
	case "activation":
		c, err := jwt.DecodeActivationClaims(token)
		if err != nil {
			return nil, 0, err
		}
		return c, c.Version, nil
	case "operator":
		c, err := jwt.DecodeOperatorClaims(token)
		if err != nil {
			return nil, 0, err
		}
		return c, c.Version, nil
	case "generic":
		c, err := jwt.DecodeGeneric(token)
		if err != nil {
			return nil, 0, err
		}
		version, _ := c.Data["version"].(float64)
		return c, int(version), nil
	}
	return nil, 0, fmt.Errorf("unknown kind %q", q.Kind)
}

func hashID(c *jwt.ActivationClaims) string {
	id, err := c.HashID()
	if err != nil {
		return "error: " + err.Error()
	}
	return id
}
