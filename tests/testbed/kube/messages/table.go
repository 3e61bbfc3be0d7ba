package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// special are the types whose JSON is another than that of their fields.
var special = map[string]string{
	"apimachinery/apis/meta/v1.Time":                          "time",
	"apimachinery/apis/meta/v1.MicroTime":                     "microtime",
	"apimachinery/apis/meta/v1.Duration":                      "duration",
	"apimachinery/apis/meta/v1.FieldsV1":                      "raw",
	"apimachinery/api/resource.Quantity":                      "quantity",
	"apimachinery/util/intstr.IntOrString":                    "intorstring",
	"apimachinery/runtime.RawExtension":                       "raw",
	"apiextensions-apiserver/apis/apiextensions/v1.JSON":      "raw",
	"apiextensions-apiserver/apis/apiextensions/v1beta1.JSON": "raw",
}

// either are messages of which one field at a time is the value: their JSON is that field's.
var either = []string{"JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"}

// single is protobuf's view of a Go kind, by the generator's own rules rather than by the tags, which are not always true.
var single = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "bool", reflect.Int32: "int32", reflect.Int64: "int64", reflect.Float64: "double",
}

// written is what is told of messages so far, by name.
type written map[string][]string

// table writes the kinds, each with its message, and of each message its fields: number, type, name in JSON.
func table(all []kind) error {
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "# How the kinds of Kubernetes look as protobuf: numbers, types and names of fields. Facts of its wire format, read")
	fmt.Fprintln(out, "# off the types of the modules below by tests/testbed/kube/messages. Made by scripts/messages; not to be edited.")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			switch module.Path {
			case "k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator":
				fmt.Fprintln(out, "#", module.Path, module.Version)
			}
		}
	}
	messages, versions := written{}, map[string][]string{}
	for _, one := range all {
		messages.add(one.of)
		key := one.Kind + " " + named(one.of)
		versions[key] = append(versions[key], one.GroupVersion().String())
	}
	for _, key := range sorted(versions) {
		fmt.Fprintln(out, key, strings.Join(versions[key], " "))
	}
	for _, name := range sorted(messages) {
		fmt.Fprintln(out, "="+name)
		for _, line := range messages[name] {
			fmt.Fprintln(out, line)
		}
	}
	return out.Flush()
}

func sorted[T any](of map[string]T) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func named(of reflect.Type) string {
	path := strings.TrimPrefix(of.PkgPath(), "k8s.io/")
	return strings.Replace(path, "/pkg/", "/", 1) + "." + of.Name()
}

func (w written) add(of reflect.Type) {
	name := named(of)
	if _, ok := w[name]; ok {
		return
	}
	w[name] = nil
	numbers := map[int]string{}
	for index := range of.NumField() {
		if number, line := w.field(of, of.Field(index)); number > 0 {
			if numbers[number] != "" {
				panic(name + " has a number twice")
			}
			numbers[number] = line
		}
	}
	order := make([]int, 0, len(numbers))
	for number := range numbers {
		order = append(order, number)
	}
	slices.Sort(order)
	for _, number := range order {
		w[name] = append(w[name], numbers[number])
	}
}

// field is one line of the table, as in "2 ?int32 replicas". Before the type stands * for a list, % for a map by text, and
// for a single one ? where it may be missing (a pointer), - where JSON leaves its zero out. The name ~ says that the fields
// of the message stand among those of the one around it.
func (w written) field(within reflect.Type, field reflect.StructField) (int, string) {
	told := strings.Split(field.Tag.Get("protobuf"), ",")
	if len(told) < 2 {
		if named(field.Type) != "apimachinery/apis/meta/v1.TypeMeta" && field.Tag.Get("json") != "-" {
			panic(fmt.Sprintf("%v.%s has no number", within, field.Name))
		}
		return 0, ""
	}
	number, err := strconv.Atoi(told[1])
	if err != nil {
		panic(err)
	}
	name, more, _ := strings.Cut(field.Tag.Get("json"), ",")
	options := strings.Split(more, ",")
	switch {
	case slices.Contains(either, within.Name()):
		name = strings.TrimPrefix(told[3], "name=")
	case name == "" && field.Anonymous && slices.Contains(options, "inline"):
		name = "~"
	case name == "" || name == "-" || slices.Contains(options, "string"):
		panic(fmt.Sprintf("%v.%s has a name of an unknown sort", within, field.Name))
	}
	of, flag := field.Type, ""
	if of.Kind() == reflect.Pointer {
		of, flag = of.Elem(), "?"
	} else if slices.Contains(options, "omitempty") && of.Kind() != reflect.Struct || slices.Contains(options, "omitzero") {
		flag = "-"
	}
	bytes := of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8
	switch {
	case of.Kind() == reflect.Slice && !bytes && !marshals(of):
		of, flag = of.Elem(), "*"
	case of.Kind() == reflect.Map:
		if of.Key().Kind() != reflect.String {
			panic(fmt.Sprintf("%v.%s is a map by something else than text", within, field.Name))
		}
		of, flag = of.Elem(), "%"
	}
	return number, fmt.Sprintf("%d %s%s %s", number, flag, w.typed(within, of), name)
}

func (w written) typed(within, of reflect.Type) string {
	name := named(of)
	switch {
	case special[name] != "":
		return special[name]
	case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8:
		return "bytes"
	case of.Kind() == reflect.Slice && marshals(of) && of.Elem().Kind() == reflect.String:
		return "strings" // a list that is a message, so that it may be empty or missing
	case of.Kind() != reflect.Struct && marshals(of), single[of.Kind()] == "" && of.Kind() != reflect.Struct:
		panic(fmt.Sprintf("%v is of an unknown sort", of))
	case of.Kind() != reflect.Struct:
		return single[of.Kind()]
	}
	speaks := reflect.TypeFor[json.Marshaler]()
	if (of.Implements(speaks) || reflect.PointerTo(of).Implements(speaks)) && !slices.Contains(either, of.Name()) {
		panic(fmt.Sprintf("%v has a JSON of its own", of))
	}
	w.add(of)
	if of.PkgPath() == within.PkgPath() {
		return "." + of.Name()
	}
	return name
}
