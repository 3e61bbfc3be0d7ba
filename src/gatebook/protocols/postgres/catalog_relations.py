"""Which relations are the system's own, and which of those hold data, secrets or other people's statements.

A relation of pg_catalog that is not on the list of open ones is protected, so that what a new release adds stays closed until
somebody reads about it.
"""

from __future__ import annotations

from gatebook.protocols.postgres.reading import Relation

_OPEN = frozenset(
    """
pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_available_extension_versions
pg_available_extensions pg_cast pg_class pg_collation pg_constraint pg_conversion pg_cursors pg_database pg_db_role_setting
pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_server
pg_foreign_table pg_group pg_index pg_indexes pg_inherits pg_init_privs pg_language pg_largeobject_metadata pg_locks
pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily pg_parameter_acl pg_partitioned_table pg_policies pg_policy
pg_prepared_statements pg_prepared_xacts pg_proc pg_publication pg_publication_namespace pg_publication_rel
pg_publication_tables pg_range pg_replication_origin pg_replication_origin_status pg_replication_slots pg_rewrite pg_roles
pg_rules pg_seclabel pg_seclabels pg_sequence pg_sequences pg_settings pg_shdepend pg_shdescription pg_shseclabel
pg_stat_all_indexes pg_stat_all_tables pg_stat_archiver pg_stat_bgwriter pg_stat_checkpointer pg_stat_database
pg_stat_database_conflicts pg_stat_gssapi pg_stat_io pg_stat_progress_analyze pg_stat_progress_basebackup
pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index pg_stat_progress_vacuum
pg_stat_recovery_prefetch pg_stat_replication_slots pg_stat_slru pg_stat_ssl pg_stat_subscription pg_stat_subscription_stats
pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_functions pg_stat_user_indexes pg_stat_user_tables pg_stat_wal
pg_stat_xact_all_tables pg_stat_xact_sys_tables pg_stat_xact_user_functions pg_stat_xact_user_tables pg_statio_all_indexes
pg_statio_all_sequences pg_statio_all_tables pg_statio_sys_indexes pg_statio_sys_sequences pg_statio_sys_tables
pg_statio_user_indexes pg_statio_user_sequences pg_statio_user_tables pg_statistic_ext pg_subscription_rel pg_tables
pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict
pg_ts_parser pg_ts_template pg_type pg_user pg_views pg_wait_events
""".split()
)

# Protected in whatever schema an extension put them.
_PROTECTED_ANYWHERE = frozenset(
    {"pg_stat_statements", "pg_stat_activity", "pg_authid", "pg_shadow", "pg_stats", "pg_statistic"}
)

_SCHEMA_OPTIONS = frozenset(
    """
user_mapping_options _pg_user_mappings foreign_server_options _pg_foreign_servers foreign_table_options _pg_foreign_tables
foreign_data_wrapper_options _pg_foreign_data_wrappers column_options _pg_foreign_table_columns
""".split()
)

_SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema"})


def is_system(relation: Relation) -> bool:
    """Whether the relation belongs to the server. An unqualified ``pg_…`` name does: pg_catalog is searched first."""
    if relation.schema is None:
        return relation.name.startswith("pg_")
    return relation.schema in _SYSTEM_SCHEMAS or relation.schema.startswith("pg_toast")


def is_protected(relation: Relation) -> bool:
    """Whether reading it shows data, secrets or statements of others: statistics, passwords, TOAST, connection strings."""
    if relation.name in _PROTECTED_ANYWHERE:
        return True
    if relation.schema == "information_schema":
        return relation.name in _SCHEMA_OPTIONS
    return is_system(relation) and relation.name not in _OPEN
