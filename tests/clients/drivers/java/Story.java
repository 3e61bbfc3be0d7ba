// JDBC through the gateway: what every driver's story tells, as one line of JSON. Settings come in PG* variables.
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Timer;
import java.util.TimerTask;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class Story {
    interface Work {
        void run() throws SQLException;
    }

    static String fails(Work work) {
        try {
            work.run();
            return "nothing";
        } catch (SQLException error) {
            return error.getSQLState() + " " + error.getMessage();
        }
    }

    static Object one(Connection connection, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            for (int n = 0; n < values.length; n++) {
                statement.setObject(n + 1, values[n]);
            }
            try (ResultSet found = statement.executeQuery()) {
                found.next();
                if (found.getMetaData().getColumnCount() == 1) {
                    return found.getObject(1);
                }
                return List.of(found.getObject(1), found.getObject(2));
            }
        }
    }

    static String json(Object value) {
        if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Story::json).toList()) + "]";
        }
        if (value instanceof Map<?, ?> map) {
            return "{" + String.join(",", map.entrySet().stream().map(e -> json(e.getKey()) + ":" + json(e.getValue())).toList()) + "}";
        }
        if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        }
        StringBuilder made = new StringBuilder("\"");
        for (char c : value.toString().toCharArray()) {
            made.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : c);
        }
        return made.append('"').toString();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> from = System.getenv();
        Properties settings = new Properties();
        settings.setProperty("user", from.get("PGUSER"));
        settings.setProperty("password", from.get("PGPASSWORD"));
        settings.setProperty("sslmode", "verify-full");
        settings.setProperty("sslrootcert", from.get("PGSSLROOTCERT"));
        settings.setProperty("options", "-c gatebook.hold=answer");
        settings.setProperty("prepareThreshold", "2");
        settings.setProperty("preferQueryMode", arguments[0]);
        String url = "jdbc:postgresql://" + from.get("PGHOST") + ":" + from.get("PGPORT") + "/" + from.get("PGDATABASE");
        Map<String, Object> told = new LinkedHashMap<>();
        try (Connection connection = DriverManager.getConnection(url, settings)) {
            told.put("encrypted", true);
            told.put("parameters", one(connection, "SELECT CAST(? AS int4), CAST(? AS text)", 7, "naïve"));
            told.put("masked", one(connection, "SELECT ssn FROM customers WHERE id = ?", 1));
            List<Object> prepared = new ArrayList<>();
            try (PreparedStatement statement = connection.prepareStatement("SELECT ssn FROM customers WHERE id = ?")) {
                for (int id = 1; id <= 3; id++) {
                    statement.setInt(1, id);
                    try (ResultSet found = statement.executeQuery()) {
                        found.next();
                        prepared.add(found.getString(1));
                    }
                }
            }
            told.put("prepared", prepared);
            Statement plain = connection.createStatement();
            told.put("refused", fails(() -> plain.execute("DELETE FROM customers")));
            told.put("refused_prepared", fails(() -> one(connection, "DELETE FROM customers WHERE true OR id = ?", 1)));
            told.put("after", one(connection, "SELECT 1"));
            told.put("failed", fails(() -> one(connection, "SELECT 1 / CAST(? AS int)", 0)));
            connection.setAutoCommit(false);
            told.put("in_transaction", fails(() -> plain.execute("DELETE FROM customers")));
            told.put("in_failed_transaction", fails(() -> plain.execute("SELECT 1")));
            connection.rollback();
            List<Object> paged = new ArrayList<>();
            try (Statement pages = connection.createStatement()) {
                pages.setFetchSize(3);
                try (ResultSet found = pages.executeQuery("SELECT ssn FROM customers ORDER BY id")) {
                    while (found.next()) {
                        paged.add(found.getString(1));
                    }
                }
            }
            told.put("paged", paged);
            connection.setAutoCommit(true);
            List<Object> many = new ArrayList<>();
            for (boolean rows = plain.execute("SELECT 1; SELECT 2; SELECT 3"); rows; rows = plain.getMoreResults()) {
                plain.getResultSet().next();
                many.add(plain.getResultSet().getInt(1));
            }
            told.put("many", many);
            PGConnection own = connection.unwrap(PGConnection.class);
            StringWriter copied = new StringWriter();
            own.getCopyAPI().copyOut("COPY customers (id, ssn) TO STDOUT", copied);
            told.put("copied", copied.toString());
            plain.execute("LISTEN driver_news");
            plain.execute("NOTIFY driver_news, 'charged 4242 4242 4242 4242'");
            List<Object> heard = new ArrayList<>();
            for (PGNotification found : own.getNotifications(10_000)) {
                heard.add(found.getParameter());
            }
            told.put("heard", heard);
            Timer timer = new Timer(true);
            timer.schedule(new TimerTask() {
                @Override
                public void run() {
                    fails(plain::cancel);
                }
            }, 500, 300);
            told.put("cancelled", fails(() -> plain.execute("SELECT pg_sleep(30)")));
            timer.cancel();
            told.put("after_cancel", one(connection, "SELECT 1"));
        }
        System.out.println(json(told));
    }
}
