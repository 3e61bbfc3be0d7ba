package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

const deep = 14 // schemas hold schemas; deeper ones are not filled

// fill writes one object of each kind, filled by chance, in both encodings.
func fill(all []kind, text string) error {
	seed, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	for index, one := range all {
		filler := randfill.NewWithSeed(seed+int64(index)).NilChance(0.2).NumElements(1, 2).MaxDepth(deep).Funcs(values()...)
		object, err := known.New(one.GroupVersionKind)
		if err != nil {
			return err
		}
		filler.Fill(object)
		object.GetObjectKind().SetGroupVersionKind(one.GroupVersionKind)
		said, err := both(object)
		if err != nil {
			return fmt.Errorf("%v: %w", one, err)
		}
		line, err := json.Marshal(said)
		if err != nil {
			return err
		}
		os.Stdout.Write(append(line, '\n'))
	}
	return nil
}

// raw is JSON of every sort.
func raw(c randfill.Continue) []byte {
	words := []string{`{"a":[1,-2.5,null,true,"é"],"b":{}}`, `"text"`, `17`, `[]`, `{"apiVersion":"v1","kind":"Pod","spec":{"hostPID":true}}`}
	return []byte(words[c.Intn(len(words))])
}

func values() []any {
	return []any{
		func(v *meta.TypeMeta, c randfill.Continue) {},
		func(v *runtime.TypeMeta, c randfill.Continue) {},
		func(v *meta.Time, c randfill.Continue) { v.Time = time.Unix(c.Int63n(4e9)-2e9, 0).UTC() },
		func(v *meta.MicroTime, c randfill.Continue) {
			v.Time = time.Unix(c.Int63n(4e9)-2e9, 1000*c.Int63n(1e6)).UTC()
		},
		func(v *meta.Duration, c randfill.Continue) {
			v.Duration = time.Duration(c.Int63()>>c.Intn(63)) * time.Duration(1-2*c.Intn(2))
		},
		func(v *meta.FieldsV1, c randfill.Continue) {
			v.SetRawBytes([]byte(`{"f:metadata":{".":{},"f:name":{}}}`))
		},
		func(v *resource.Quantity, c randfill.Continue) {
			words := []string{"0", "100m", "1500Mi", "-3", "2e9", "1.5", "5Ki"}
			*v = resource.MustParse(words[c.Intn(len(words))])
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			if *v = intstr.FromString(c.String(9)); c.Bool() {
				*v = intstr.FromInt32(int32(c.Uint32()))
			}
		},
		func(v *runtime.RawExtension, c randfill.Continue) { v.Raw = raw(c) },
		func(v *v1.JSON, c randfill.Continue) { v.Raw = raw(c) },
		func(v *v1beta1.JSON, c randfill.Continue) { v.Raw = raw(c) },
		func(v *v1.JSONSchemaPropsOrBool, c randfill.Continue) {
			if v.Allows = c.Bool(); v.Allows && c.Bool() {
				c.Fill(&v.Schema)
			}
		},
		func(v *v1beta1.JSONSchemaPropsOrBool, c randfill.Continue) {
			if v.Allows = c.Bool(); v.Allows && c.Bool() {
				c.Fill(&v.Schema)
			}
		},
		func(v *v1.JSONSchemaPropsOrArray, c randfill.Continue) {
			if c.Bool() {
				c.Fill(&v.Schema)
			} else {
				c.Fill(&v.JSONSchemas)
			}
		},
		func(v *v1beta1.JSONSchemaPropsOrArray, c randfill.Continue) {
			if c.Bool() {
				c.Fill(&v.Schema)
			} else {
				c.Fill(&v.JSONSchemas)
			}
		},
		func(v *v1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			if c.Bool() {
				c.Fill(&v.Schema)
			} else {
				c.Fill(&v.Property)
			}
		},
		func(v *v1beta1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			if c.Bool() {
				c.Fill(&v.Schema)
			} else {
				c.Fill(&v.Property)
			}
		},
	}
}
