"""Which built-in functions are harmless, which have a verb, and which are not known.

The table was read name by name against pg_catalog of PostgreSQL 18, never by volatility: ``current_setting`` and
``query_to_xml`` are both stable, and one of them runs any SQL it is given. A name stands for all its signatures, so it is
harmless only if each of them is. Whatever is in no table here is not known and counts as able to do anything; a test holds
the table against a running server's catalog, so that a function that is new in a release is unknown until somebody reads
about it.

Harmless means: computes from its arguments, or reads what the catalog tells everyone. It may be slow, and it may return what
it was given; what flows through it is followed by ``outputs``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_TEXT = """
ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from convert_to
crc32 crc32c decode encode format get_bit get_byte initcap is_normalized left length like like_escape lower lpad ltrim md5
normalize notlike octet_length overlay parse_ident position quote_ident quote_literal quote_nullable regexp_count regexp_instr
regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat
replace reverse right rpad rtrim set_bit set_byte sha224 sha256 sha384 sha512 similar_escape similar_to_escape split_part
starts_with string_to_array string_to_table strip strpos substr substring textcat texteq textne textlen textlike textnlike
texticlike texticnlike textregexeq textregexne texticregexeq texticregexne text_lt text_le text_gt text_ge to_ascii to_bin
to_hex to_oct translate unicode_assigned unistr upper hashtext hashtextextended
"""

_NUMBERS = """
abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees div erf
erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod numeric_div_trunc pi pow power radians random
random_normal round scale sign sin sind sinh sqrt tan tand tanh to_char to_number trim_scale trunc width_bucket num_nonnulls
num_nulls cash_words hashint4 hashint8 int4eq int4ne int4lt int4le int4gt int4ge int4pl int4mi int4mul int8eq int8ne int8pl
int8mi booleq boolne dexp dlog1 dlog10 dround dtrunc numeric_exp numeric_ln numeric_log numeric_sqrt int4inc int8inc
"""

_TIMES = """
age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days justify_hours
justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps statement_timestamp timeofday
timezone to_date to_timestamp transaction_timestamp
"""

# A call of a type's name is a cast.
_CASTS = """
bit bool box bpchar bytea char cidr circle date datemultirange daterange float4 float8 int2 int4 int4multirange int4range int8
int8multirange int8range interval line lseg macaddr macaddr8 money multirange name numeric nummultirange numrange oid path
pg_lsn point polygon regclass text time timestamp timestamptz timetz tsmultirange tsrange tstzmultirange tstzrange varbit
varchar xid xml
"""

_JSON = """
array_to_json json_array_element json_array_element_text json_array_elements json_array_elements_text json_array_length
json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
json_object_field json_object_field_text json_object_keys json_populate_record json_populate_recordset json_strip_nulls
json_to_record json_to_recordset json_typeof jsonb_array_element jsonb_array_element_text jsonb_array_elements
jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat jsonb_contained jsonb_contains
jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path
jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_field jsonb_object_field_text jsonb_object_keys jsonb_path_exists
jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid
jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof
row_to_json to_json to_jsonb
"""

_ARRAYS_AND_RANGES = """
array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions array_prepend
array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string array_upper arraycontained
arraycontains arrayoverlap cardinality enum_first enum_last enum_range generate_series generate_subscripts isempty lower_inc
lower_inf range_merge trim_array unnest upper_inc upper_inf elem_contained_by_range range_adjacent range_contains
range_contains_elem range_contained_by range_intersect range_minus range_overlaps range_union
"""

_AGGREGATES_AND_WINDOWS = """
any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank every
first_value json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict
jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict lag
last_value lead max min mode nth_value ntile percent_rank percentile_cont percentile_disc range_agg range_intersect_agg rank
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop
stddev_samp string_agg sum var_pop var_samp variance xmlagg
"""

_GEOMETRY_AND_NETWORK = """
abbrev area bound_box broadcast center diagonal diameter family height host hostmask inet_merge inet_same_family ishorizontal
isopen isclosed isparallel isperp isvertical macaddr8_set7bit masklen netmask network npoints pclose popen radius set_masklen
slope width
"""

_TEXT_SEARCH = """
array_to_tsvector get_current_ts_config json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree
setweight to_tsquery to_tsvector ts_debug ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_token_type
tsquery_phrase tsvector_to_array websearch_to_tsquery ts_match_qv ts_match_vq tsvector_concat
"""

_XML_AND_UUID = """
gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 xml_is_well_formed xml_is_well_formed_content
xml_is_well_formed_document xmlcomment xmlexists xmltext xmlvalidate xmlconcat2 xpath xpath_exists
"""

# What a session may ask about itself and what the catalog tells everyone.
_SESSION = """
current_database current_query current_schema current_schemas current_setting current_user
getdatabaseencoding getpgusername inet_client_addr inet_client_port inet_server_addr inet_server_port session_user system_user
version unicode_version icu_unicode_version currval lastval pg_backend_pid pg_blocking_pids pg_client_encoding
pg_collation_for pg_conf_load_time pg_current_logfile pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned
pg_cursor pg_is_in_recovery pg_is_other_temp_schema pg_jit_available pg_listening_channels pg_my_temp_schema
pg_notification_queue_usage pg_numa_available pg_postmaster_start_time pg_prepared_statement pg_prepared_xact
pg_safe_snapshot_blocking_pids pg_sleep pg_sleep_for pg_sleep_until pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin
pg_trigger_depth pg_typeof pg_visible_in_snapshot pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status
pg_last_committed_xact row_security_active txid_current txid_current_if_assigned txid_current_snapshot txid_snapshot_xip
txid_snapshot_xmax txid_snapshot_xmin txid_status txid_visible_in_snapshot pg_show_all_settings pg_settings_get_flags
pg_timezone_names pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_lock_status pg_input_is_valid pg_input_error_info
pg_stat_clear_snapshot pg_stat_force_next_flush
"""

_CATALOG = """
acldefault aclexplode aclcontains col_description format_type has_any_column_privilege has_column_privilege
has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
has_largeobject_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege
has_table_privilege has_tablespace_privilege has_type_privilege makeaclitem mxid_age nameconcatoid obj_description
oidvectortypes pg_available_extension_versions pg_available_extensions pg_basetype pg_char_to_encoding
pg_collation_actual_version pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_column_size
pg_column_toast_chunk_id pg_conversion_is_visible pg_database_collation_actual_version pg_database_size pg_describe_object
pg_encoding_max_length pg_encoding_to_char pg_extension_update_paths pg_filenode_relation pg_function_is_visible pg_get_acl
pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr pg_get_function_arg_default pg_get_function_arguments
pg_get_function_identity_arguments pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef
pg_get_keywords pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables
pg_get_replica_identity_index pg_get_ruledef pg_get_sequence_data pg_get_serial_sequence pg_get_statisticsobjdef
pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid pg_get_viewdef
pg_get_wait_events pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property
pg_index_has_property pg_indexam_has_property pg_indexam_progress_phasename pg_indexes_size pg_opclass_is_visible
pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors pg_partition_root pg_partition_tree
pg_relation_filenode pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable pg_relation_size
pg_sequence_last_value pg_sequence_parameters pg_size_bytes pg_size_pretty pg_statistics_obj_is_visible pg_table_is_visible
pg_table_size pg_tablespace_databases pg_tablespace_location pg_tablespace_size pg_total_relation_size pg_ts_config_is_visible
pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible shobj_description to_regclass
to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_regtypemod
_pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position _pg_interval_type
_pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid _pg_truetypmod satisfies_hash_partition
pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_last_wal_receive_lsn pg_last_wal_replay_lsn
pg_last_xact_replay_timestamp pg_wal_lsn_diff pg_walfile_name pg_walfile_name_offset pg_split_walfile_name
pg_is_wal_replay_paused pg_get_wal_replay_pause_state pg_get_wal_resource_managers pg_control_checkpoint pg_control_init
pg_control_recovery pg_control_system
"""

# Counters: numbers, times and names of objects, never a text of somebody's statement.
_COUNTERS = """
analyze_count archiver autoanalyze_count autovacuum_count bgwriter_buf_written_clean bgwriter_maxwritten_clean
bgwriter_stat_reset_time blocks_fetched blocks_hit buf_alloc checkpointer_buffers_written checkpointer_num_performed
checkpointer_num_requested checkpointer_num_timed checkpointer_restartpoints_performed checkpointer_restartpoints_requested
checkpointer_restartpoints_timed checkpointer_slru_written checkpointer_stat_reset_time checkpointer_sync_time
checkpointer_write_time db_active_time db_blk_read_time db_blk_write_time db_blocks_fetched db_blocks_hit db_checksum_failures
db_checksum_last_failure db_conflict_all db_conflict_bufferpin db_conflict_lock db_conflict_logicalslot db_conflict_snapshot
db_conflict_startup_deadlock db_conflict_tablespace db_deadlocks db_idle_in_transaction_time db_numbackends
db_parallel_workers_launched db_parallel_workers_to_launch db_session_time db_sessions db_sessions_abandoned db_sessions_fatal
db_sessions_killed db_stat_reset_time db_temp_bytes db_temp_files db_tuples_deleted db_tuples_fetched db_tuples_inserted
db_tuples_returned db_tuples_updated db_xact_commit db_xact_rollback dead_tuples function_calls function_self_time
function_total_time ins_since_vacuum io last_analyze_time last_autoanalyze_time last_autovacuum_time last_vacuum_time lastscan
live_tuples mod_since_analyze numscans recovery_prefetch replication_slot slru snapshot_timestamp subscription
subscription_stats total_analyze_time total_autoanalyze_time total_autovacuum_time total_vacuum_time tuples_deleted
tuples_fetched tuples_hot_updated tuples_inserted tuples_newpage_updated tuples_returned tuples_updated vacuum_count wal
xact_blocks_fetched xact_blocks_hit xact_function_calls xact_function_self_time xact_function_total_time xact_numscans
xact_tuples_deleted xact_tuples_fetched xact_tuples_hot_updated xact_tuples_inserted xact_tuples_newpage_updated
xact_tuples_returned xact_tuples_updated
"""

HARMLESS: frozenset[str] = frozenset(
    " ".join(
        (
            _TEXT,
            _NUMBERS,
            _TIMES,
            _CASTS,
            _JSON,
            _ARRAYS_AND_RANGES,
            _AGGREGATES_AND_WINDOWS,
            _GEOMETRY_AND_NETWORK,
            _TEXT_SEARCH,
            _XML_AND_UUID,
            _SESSION,
            _CATALOG,
        )
    ).split()
) | {f"pg_stat_get_{name}" for name in _COUNTERS.split()}

_VERBS: dict[str, str] = {
    # setseed keeps a number that random() gives back: harmless to others, but a place a masked value could go
    "sql.session": "setseed",
    "sql.sequence": "nextval setval",
    "sql.notify": "pg_notify",
    "sql.lock": """
        pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
        pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
        pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_export_snapshot""",
    "sql.maintain": "brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list",
    "sql.copy_file": """
        pg_read_file pg_read_binary_file pg_ls_dir pg_ls_archive_statusdir pg_ls_logdir pg_ls_logicalmapdir
        pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_stat_file lo_import lo_export
        pg_file_read pg_file_write pg_file_sync pg_file_rename pg_file_unlink pg_file_length pg_logdir_ls pg_read_file_old
        pg_read_server_files""",
    # data, statements of others, or secrets of the configuration, by function instead of by relation
    "sql.protected": """
        pg_mcv_list_items pg_stat_get_activity pg_stat_get_backend_activity pg_stat_statements pg_show_all_file_settings
        pg_hba_file_rules pg_ident_file_mappings pg_config pg_stat_get_wal_receiver pg_stat_get_wal_senders
        pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr pg_stat_get_backend_client_port
        pg_stat_get_backend_dbid pg_stat_get_backend_idset pg_stat_get_backend_io pg_stat_get_backend_pid
        pg_stat_get_backend_start pg_stat_get_backend_subxact pg_stat_get_backend_userid pg_stat_get_backend_wait_event
        pg_stat_get_backend_wait_event_type pg_stat_get_backend_wal pg_stat_get_backend_xact_start
        pg_stat_get_progress_info pg_get_multixact_members""",
    "sql.server": """
        pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old pg_switch_wal pg_promote
        pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup pg_wal_replay_pause
        pg_wal_replay_resume pg_log_backend_memory_contexts pg_log_standby_snapshot pg_logical_emit_message
        pg_create_logical_replication_slot pg_create_physical_replication_slot pg_copy_logical_replication_slot
        pg_copy_physical_replication_slot pg_drop_replication_slot pg_replication_slot_advance pg_sync_replication_slots
        pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
        pg_logical_slot_peek_changes pg_get_replication_slots pg_replication_origin_advance pg_replication_origin_create
        pg_replication_origin_drop pg_replication_origin_oid pg_replication_origin_progress
        pg_replication_origin_session_is_setup pg_replication_origin_session_progress pg_replication_origin_session_reset
        pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup
        pg_show_replication_origin_status pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
        pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
        pg_stat_reset_subscription_stats pg_stat_statements_reset pg_clear_attribute_stats pg_clear_relation_stats
        pg_restore_attribute_stats pg_restore_relation_stats pg_import_system_collations pg_get_backend_memory_contexts
        pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_aios pg_get_loaded_modules pg_get_wal_summarizer_state
        pg_available_wal_summaries pg_wal_summary_contents pg_nextoid pg_stop_making_pinned_objects
        binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension binary_upgrade_logical_slot_has_caught_up
        binary_upgrade_replorigin_advance binary_upgrade_set_missing_value
        binary_upgrade_set_next_array_pg_type_oid binary_upgrade_set_next_heap_pg_class_oid
        binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
        binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
        binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
        binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid binary_upgrade_set_next_pg_type_oid
        binary_upgrade_set_next_toast_pg_class_oid binary_upgrade_set_next_toast_relfilenode
        binary_upgrade_set_record_init_privs
        lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64 lo_truncate
        lo_truncate64 lo_unlink loread lowrite""",
}

VERB_OF: Mapping[str, str] = MappingProxyType({name: verb for verb, names in _VERBS.items() for name in names.split()})

# Unknown on purpose: they run SQL they are given, read relations named in an argument, are the code behind triggers and
# languages, or serve the server's own tests. The type, operator and index support functions are unknown by default.
UNKNOWN: frozenset[str] = frozenset(
    """
query_to_xml query_to_xml_and_xmlschema query_to_xmlschema table_to_xml table_to_xml_and_xmlschema table_to_xmlschema
schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema database_to_xml database_to_xml_and_xmlschema
database_to_xmlschema cursor_to_xml cursor_to_xmlschema ts_stat ts_rewrite currtid2 RI_FKey_cascade_del RI_FKey_cascade_upd
RI_FKey_check_ins RI_FKey_check_upd RI_FKey_noaction_del RI_FKey_noaction_upd RI_FKey_restrict_del RI_FKey_restrict_upd
RI_FKey_setdefault_del RI_FKey_setdefault_upd RI_FKey_setnull_del RI_FKey_setnull_upd unique_key_recheck
suppress_redundant_updates_trigger tsvector_update_trigger tsvector_update_trigger_column plpgsql_call_handler
plpgsql_inline_handler plpgsql_validator fmgr_c_validator fmgr_internal_validator fmgr_sql_validator
postgresql_fdw_validator pg_extension_config_dump pg_event_trigger_ddl_commands pg_event_trigger_dropped_objects
pg_event_trigger_table_rewrite_oid pg_event_trigger_table_rewrite_reason pg_isolation_test_session_is_blocked
pg_stat_have_stats amvalidate shell_in shell_out bernoulli system enum_in enum_out enum_recv enum_send hashvarlena
hashvarlenaextended gin_extract_tsquery gin_extract_tsvector gin_tsquery_consistent ginarrayextract gtsquery_consistent
gtsvector_consistent int8_sum numeric_inc daterange_canonical daterange_subdiff int4range_canonical int4range_subdiff
int8range_canonical int8range_subdiff numrange_subdiff tsrange_subdiff tstzrange_subdiff
""".split()
)

# ``c.f`` is ``f(c)`` where c has no column f. These take a whole row and can give it back, so that ``select c.row_to_json from
# customers c`` shows every column: a column name of this list counts as any column.
TAKES_ROW: frozenset[str] = frozenset(
    """
any_out any_value anycompatible_out anycompatiblenonarray_out anyelement_out anynonarray_out array_agg concat first_value
json_agg json_agg_strict json_build_array json_build_object jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object
lag last_value lead max min mode quote_literal quote_nullable record_out record_send row_to_json to_json to_jsonb
""".split()
)

# Return a set of rows: one call in a VALUES list of one row makes any number of them.
SETS: frozenset[str] = frozenset(
    """
    _pg_expandarray aclexplode generate_series generate_subscripts json_array_elements json_array_elements_text json_each
    json_each_text json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text
    jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset
    jsonb_to_recordset pg_available_extension_versions pg_available_extensions pg_available_wal_summaries pg_config
    pg_cursor pg_extension_update_paths pg_get_aios pg_get_backend_memory_contexts pg_get_catalog_foreign_keys
    pg_get_keywords pg_get_loaded_modules pg_get_multixact_members pg_get_publication_tables pg_get_replication_slots
    pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_resource_managers pg_hba_file_rules
    pg_ident_file_mappings pg_listening_channels pg_lock_status pg_logical_slot_get_binary_changes
    pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes pg_ls_archive_statusdir
    pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir
    pg_ls_waldir pg_mcv_list_items pg_options_to_table pg_partition_ancestors pg_partition_tree pg_prepared_statement
    pg_prepared_xact pg_show_all_file_settings pg_show_all_settings pg_show_replication_origin_status pg_snapshot_xip
    pg_stat_get_activity pg_stat_get_backend_idset pg_stat_get_backend_io pg_stat_get_io pg_stat_get_progress_info
    pg_stat_get_recovery_prefetch pg_stat_get_slru pg_stat_get_subscription pg_stat_get_wal_senders pg_tablespace_databases
    pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names pg_wal_summary_contents regexp_matches
    regexp_split_to_table string_to_table ts_debug ts_parse ts_token_type txid_snapshot_xip unnest
    """.split()
)

# Cannot fail, return one row and do nothing by the values of their arguments, whatever those are: what they tell stands in
# their result alone. Any other call tells by an error, a number of rows or the time it takes.
NEVER_FAIL: frozenset[str] = frozenset(
    """
    any_value bool_and bool_or btrim char_length character_length concat concat_ws count every first_value initcap json_agg
    json_build_array jsonb_agg jsonb_build_array last_value lower ltrim max md5 min octet_length pg_typeof quote_ident
    quote_literal quote_nullable reverse row_to_json rtrim string_agg to_json to_jsonb upper
    """.split()
)

# TABLESAMPLE methods that ship with the server; another name is a function of somebody's.
SAMPLES: frozenset[str] = frozenset({"bernoulli", "system"})


def verb_of(schema: str | None, name: str) -> str:
    """``""`` for a harmless built-in, its verb for one that has one, else ``sql.unknown``.

    ``set_config`` counts by the setting it names, which ``settings`` decides. A schema other than pg_catalog makes it
    somebody's own function, whatever its name, save information_schema's helpers.
    """
    if schema is not None and schema != "pg_catalog" and not (schema == "information_schema" and name.startswith("_pg_")):
        return "sql.unknown"
    return "" if name in HARMLESS else VERB_OF.get(name, "sql.unknown")


def is_built_in_type(names: list[str]) -> bool:
    """Whether a type's name, given by its parts, is one that the server brings along."""
    if len(names) > 1 and names[0] != "pg_catalog":
        return False
    return len(names) > 1 or names[-1] in _TYPES


def is_text_type(names: list[str]) -> bool:
    """Whether a cast to the type of this name keeps any value, cut at most."""
    return (
        names[-1:] != [] and names[-1] in ("text", "varchar", "bpchar", "char", "name") and names[:-1] in ([], ["pg_catalog"])
    )


# Make values of types that are those of columns, or whose names are given as text: that runs their checks.
CONVERTS = frozenset(
    "json_populate_record json_populate_recordset jsonb_populate_record jsonb_populate_recordset "
    "jsonb_populate_record_valid".split()
)
NAMES_TYPE = frozenset({"pg_input_is_valid", "pg_input_error_info"})
PLAIN_TYPE = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")

_TYPES = frozenset(f"{_CASTS} json jsonb uuid tsvector tsquery record txid_snapshot jsonpath".split())
