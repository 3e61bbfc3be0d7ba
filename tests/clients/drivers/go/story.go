// pgx and lib/pq through the gateway: what every driver's story tells, as one line of JSON. Settings come in PG* variables.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

type story map[string]any

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func said(err error) string {
	var ofPgx *pgconn.PgError
	var ofPq *pq.Error
	switch {
	case err == nil:
		return "nothing"
	case errors.As(err, &ofPgx):
		return ofPgx.Code + " " + ofPgx.Message
	case errors.As(err, &ofPq):
		return string(ofPq.Code) + " " + ofPq.Message
	default:
		return "? " + err.Error()
	}
}

func withPgx(told story) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "sslmode=verify-full options='-c gatebook.hold=answer'")
	must(err)
	defer conn.Close(ctx)
	var number int
	var text string
	must(conn.QueryRow(ctx, "SELECT $1::int4, $2::text", 7, "naïve").Scan(&number, &text))
	told["parameters"] = []any{number, text}
	must(conn.QueryRow(ctx, "SELECT ssn FROM customers WHERE id = $1", 1).Scan(&text))
	told["masked"] = text
	_, err = conn.Prepare(ctx, "by-id", "SELECT ssn FROM customers WHERE id = $1")
	must(err)
	prepared := []string{}
	for id := 1; id <= 3; id++ {
		must(conn.QueryRow(ctx, "by-id", id).Scan(&text))
		prepared = append(prepared, text)
	}
	told["prepared"] = prepared
	_, err = conn.Exec(ctx, "DELETE FROM customers")
	told["refused"] = said(err)
	_, err = conn.Exec(ctx, "DELETE FROM customers WHERE true OR id = $1", 1)
	told["refused_prepared"] = said(err)
	must(conn.QueryRow(ctx, "SELECT 1").Scan(&number))
	told["after"] = number
	told["failed"] = said(conn.QueryRow(ctx, "SELECT 1 / $1::int", 0).Scan(&number))
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "DELETE FROM customers")
	told["in_transaction"] = said(err)
	told["in_failed_transaction"] = said(tx.QueryRow(ctx, "SELECT 1").Scan(&number))
	must(tx.Rollback(ctx))
	batch := &pgx.Batch{}
	for n := 1; n <= 3; n++ {
		batch.Queue("SELECT $1::int", n)
	}
	results, many := conn.SendBatch(ctx, batch), []int{}
	for n := 1; n <= 3; n++ {
		must(results.QueryRow().Scan(&number))
		many = append(many, number)
	}
	must(results.Close())
	told["many"] = many
	var copied bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &copied, "COPY customers (id, ssn) TO STDOUT")
	must(err)
	told["copied"] = copied.String()
	_, err = conn.Exec(ctx, "LISTEN driver_news")
	must(err)
	_, err = conn.Exec(ctx, "NOTIFY driver_news, 'charged 4242 4242 4242 4242'")
	must(err)
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	heard, err := conn.WaitForNotification(waiting)
	must(err)
	told["heard"] = []string{heard.Payload}
	done := make(chan string)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
		done <- said(err)
	}()
	for told["cancelled"] == nil {
		select {
		case told["cancelled"] = <-done:
		case <-time.After(300 * time.Millisecond):
			must(conn.PgConn().CancelRequest(ctx))
		}
	}
	must(conn.QueryRow(ctx, "SELECT 1").Scan(&number))
	told["after_cancel"] = number
	_, encrypted := conn.PgConn().Conn().(interface{ HandshakeContext(context.Context) error })
	told["encrypted"] = encrypted
}

func withPq(told story) {
	ctx := context.Background()
	db, err := sql.Open("postgres", "sslmode=verify-full options='-c gatebook.hold=answer'")
	must(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	var number int
	var text string
	must(db.QueryRow("SELECT $1::int4, $2::text", 7, "naïve").Scan(&number, &text))
	told["parameters"] = []any{number, text}
	must(db.QueryRow("SELECT ssn FROM customers WHERE id = $1", 1).Scan(&text))
	told["masked"] = text
	statement, err := db.Prepare("SELECT ssn FROM customers WHERE id = $1")
	must(err)
	prepared := []string{}
	for id := 1; id <= 3; id++ {
		must(statement.QueryRow(id).Scan(&text))
		prepared = append(prepared, text)
	}
	told["prepared"] = prepared
	must(statement.Close())
	_, err = db.Exec("DELETE FROM customers")
	told["refused"] = said(err)
	_, err = db.Exec("DELETE FROM customers WHERE true OR id = $1", 1)
	told["refused_prepared"] = said(err)
	must(db.QueryRow("SELECT 1").Scan(&number))
	told["after"] = number
	told["failed"] = said(db.QueryRow("SELECT 1 / $1::int", 0).Scan(&number))
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("DELETE FROM customers")
	told["in_transaction"] = said(err)
	told["in_failed_transaction"] = said(tx.QueryRow("SELECT 1").Scan(&number))
	must(tx.Rollback())
	rows, err := db.Query("SELECT 1 AS n; SELECT 2 AS n; SELECT 3 AS n")
	must(err)
	many := []int{}
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			must(rows.Scan(&number))
			many = append(many, number)
		}
	}
	must(rows.Close())
	told["many"] = many
	limited, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_, err = db.ExecContext(limited, "SELECT pg_sleep(30)")
	told["cancelled"] = said(err)
	must(db.QueryRow("SELECT 1").Scan(&number))
	told["after_cancel"] = number
	must(db.QueryRow("SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&number))
}

func main() {
	told := story{}
	if os.Args[1] == "pgx" {
		withPgx(told)
	} else {
		withPq(told)
	}
	line, err := json.Marshal(told)
	must(err)
	fmt.Println(string(line))
}
