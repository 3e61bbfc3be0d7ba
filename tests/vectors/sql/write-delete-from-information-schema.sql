expect: sql.alter sql.delete admin

DELETE FROM information_schema.sql_features WHERE feature_id = 'x'
