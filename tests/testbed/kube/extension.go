package main

// A small aggregated API: kind Forecast of weather.testbed.example/v1, which the
// API server passes on to us. A forecast tells who asked for it, as the API
// server said in the headers of its front proxy.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const weather, weatherVersion = "weather.testbed.example", "weather.testbed.example/v1"

type forecastSpec struct {
	Degrees int      `json:"degrees"`
	User    string   `json:"user"`
	Groups  []string `json:"groups"`
}

type forecast struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              forecastSpec `json:"spec"`
}

type forecasts struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []forecast `json:"items"`
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func forecastFor(r *http.Request, name string) forecast {
	return forecast{
		TypeMeta:   metav1.TypeMeta{APIVersion: weatherVersion, Kind: "Forecast"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: r.PathValue("namespace"), ResourceVersion: "1"},
		Spec:       forecastSpec{Degrees: 21, User: r.Header.Get("X-Remote-User"), Groups: r.Header.Values("X-Remote-Group")},
	}
}

func forecastHandler() http.Handler {
	mux := http.NewServeMux()
	version := metav1.GroupVersionForDiscovery{GroupVersion: weatherVersion, Version: "v1"}
	group := metav1.APIGroup{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: weather,
		Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	resources := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: weatherVersion,
		APIResources: []metav1.APIResource{{Name: "forecasts", SingularName: "forecast", Namespaced: true, Kind: "Forecast",
			Verbs: metav1.Verbs{"get", "list"}}}}
	mux.HandleFunc("GET /apis", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group}})
	})
	mux.HandleFunc("GET /apis/"+weather, func(w http.ResponseWriter, _ *http.Request) { answer(w, group) })
	mux.HandleFunc("GET /apis/"+weatherVersion, func(w http.ResponseWriter, _ *http.Request) { answer(w, resources) })
	list := func(w http.ResponseWriter, r *http.Request) {
		answer(w, forecasts{TypeMeta: metav1.TypeMeta{APIVersion: weatherVersion, Kind: "ForecastList"},
			ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []forecast{forecastFor(r, "today")}})
	}
	mux.HandleFunc("GET /apis/"+weatherVersion+"/forecasts", list)
	mux.HandleFunc("GET /apis/"+weatherVersion+"/namespaces/{namespace}/forecasts", list)
	mux.HandleFunc("GET /apis/"+weatherVersion+"/namespaces/{namespace}/forecasts/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, forecastFor(r, r.PathValue("name")))
	})
	return mux
}

// serveExtension listens for the front proxy alone and tells the API server
// where.
func serveExtension(ctx context.Context, in func(string) string) error {
	front, err := os.ReadFile(in("pki/front-proxy-ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(front)
	pair, err := tls.LoadX509KeyPair(in("pki/extension.crt"), in("pki/extension.key"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: forecastHandler(), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}}
	go func() { _ = server.ServeTLS(listener, "", "") }()

	config, err := clientcmd.BuildConfigFromFlags("", in("system.kubeconfig"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "weather"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"}}
	if _, err := client.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	ca, err := os.ReadFile(in("pki/ca.crt"))
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1." + weather},
		"spec": map[string]any{"group": weather, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10, "caBundle": ca,
			"service": map[string]any{"namespace": metav1.NamespaceSystem, "name": "weather", "port": listener.Addr().(*net.TCPAddr).Port}},
	})
	if err != nil {
		return err
	}
	err = client.CoreV1().RESTClient().Post().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("the aggregated API: %w", err)
	}
	return nil
}
