// messages writes down how the kinds of Kubernetes look as protobuf, and is
// the judge of who reads them: the same types, their own generated code, and
// the serializers of an API server.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/scheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/scheme"
)

// kind is one of the versions of one of the kinds that clients may send.
type kind struct {
	schema.GroupVersionKind
	of reflect.Type
}

// pair is an object in both encodings. Of what could not be read, only fault is set.
type pair struct {
	Protobuf string          `json:"protobuf,omitempty"`
	JSON     json.RawMessage `json:"json,omitempty"`
	Fault    string          `json:"fault,omitempty"`
}

var known = runtime.NewScheme()

func main() {
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensions.AddToScheme, aggregator.AddToScheme} {
		if err := add(known); err != nil {
			panic(err)
		}
	}
	err := errors.New("usage: messages table | fill SEED | judge")
	if len(os.Args) == 2 && os.Args[1] == "table" {
		err = table(kinds())
	} else if len(os.Args) == 3 && os.Args[1] == "fill" {
		err = fill(kinds(), os.Args[2])
	} else if len(os.Args) == 2 && os.Args[1] == "judge" {
		err = judge()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kinds are those that know how to be protobuf, sorted. A WatchEvent is no object: it does not say what it is.
func kinds() []kind {
	var found []kind
	for what, of := range known.AllKnownTypes() {
		if what.Version != runtime.APIVersionInternal && what.Kind != "WatchEvent" && marshals(of) {
			found = append(found, kind{what, of})
		}
	}
	sort.Slice(found, func(a, b int) bool { return found[a].String() < found[b].String() })
	return found
}

func marshals(of reflect.Type) bool {
	return reflect.PointerTo(of).Implements(reflect.TypeFor[interface{ Marshal() ([]byte, error) }]())
}

// judge answers each line with an object, in either encoding, by the object in both.
func judge() error {
	lines, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var asked pair
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		said, err := json.Marshal(judged(asked))
		if err != nil {
			return err
		}
		out.Write(append(said, '\n'))
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judged(asked pair) (said pair) {
	defer func() {
		if why := recover(); why != nil {
			said = pair{Fault: fmt.Sprint(why)}
		}
	}()
	object, err := read(asked)
	if err == nil {
		said, err = both(object)
	}
	if err != nil {
		return pair{Fault: err.Error()}
	}
	return said
}

func read(asked pair) (runtime.Object, error) {
	if asked.Protobuf == "" {
		options := jsonserializer.SerializerOptions{Strict: true}
		object, _, err := jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, known, known, options).Decode(asked.JSON, nil, nil)
		return object, err
	}
	raw, err := base64.StdEncoding.DecodeString(asked.Protobuf)
	if err != nil {
		return nil, err
	}
	object, _, err := protobuf.NewSerializer(known, known).Decode(raw, nil, nil)
	return object, err
}

func both(object runtime.Object) (pair, error) {
	raw, err := runtime.Encode(protobuf.NewSerializer(known, known), object)
	if err != nil {
		return pair{}, err
	}
	text, err := json.Marshal(object)
	return pair{Protobuf: base64.StdEncoding.EncodeToString(raw), JSON: text}, err
}
