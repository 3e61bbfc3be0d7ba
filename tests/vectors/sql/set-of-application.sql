expect: sql.session read
setting: app.tenant

SET app.tenant = '7'
