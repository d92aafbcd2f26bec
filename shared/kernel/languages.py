"""Languages, each with a territory, in which amounts and dates can be written."""

# Every language (ISO 639-1) and territory (ISO 3166-1) that CLDR has data for, as Babel 2.18 reads it: importing Babel
# to ask would be a good part of the start of a function that writes nothing. A test compares.
_KNOWN = """
aa_DJ aa_ER aa_ET ab_GE af_NA af_ZA ak_GH am_ET an_ES ar_AE ar_BH ar_DJ ar_DZ ar_EG ar_EH ar_ER ar_IL ar_IQ ar_JO
ar_KM ar_KW ar_LB ar_LY ar_MA ar_MR ar_OM ar_PS ar_QA ar_SA ar_SD ar_SO ar_SS ar_SY ar_TD ar_TN ar_YE as_IN az_AZ
az_IQ az_IR ba_RU be_BY bg_BG bm_ML bn_BD bn_IN bo_CN bo_IN br_FR bs_BA ca_AD ca_ES ca_FR ca_IT ce_RU co_FR cs_CZ
cu_RU cv_RU cy_GB da_DK da_GL de_AT de_BE de_CH de_DE de_IT de_LI de_LU dv_MV dz_BT ee_GH ee_TG el_CY el_GR en_AE
en_AG en_AI en_AS en_AT en_AU en_BB en_BE en_BI en_BM en_BS en_BW en_BZ en_CA en_CC en_CH en_CK en_CM en_CX en_CY
en_CZ en_DE en_DK en_DM en_ER en_ES en_FI en_FJ en_FK en_FM en_FR en_GB en_GD en_GG en_GH en_GI en_GM en_GS en_GU
en_GY en_HK en_HU en_ID en_IE en_IL en_IM en_IN en_IO en_IT en_JE en_JM en_KE en_KI en_KN en_KY en_LC en_LR en_LS
en_MG en_MH en_MO en_MP en_MS en_MT en_MU en_MV en_MW en_MY en_NA en_NF en_NG en_NL en_NO en_NR en_NU en_NZ en_PG
en_PH en_PK en_PL en_PN en_PR en_PT en_PW en_RO en_RW en_SB en_SC en_SD en_SE en_SG en_SH en_SI en_SK en_SL en_SS
en_SX en_SZ en_TC en_TK en_TO en_TT en_TV en_TZ en_UG en_UM en_US en_VC en_VG en_VI en_VU en_WS en_ZA en_ZM en_ZW
es_AR es_BO es_BR es_BZ es_CL es_CO es_CR es_CU es_DO es_EC es_ES es_GQ es_GT es_HN es_MX es_NI es_PA es_PE es_PH
es_PR es_PY es_SV es_US es_UY es_VE et_EE eu_ES fa_AF fa_IR ff_BF ff_CM ff_GH ff_GM ff_GN ff_GW ff_LR ff_MR ff_NE
ff_NG ff_SL ff_SN fi_FI fo_DK fo_FO fr_BE fr_BF fr_BI fr_BJ fr_BL fr_CA fr_CD fr_CF fr_CG fr_CH fr_CI fr_CM fr_DJ
fr_DZ fr_FR fr_GA fr_GF fr_GN fr_GP fr_GQ fr_HT fr_KM fr_LU fr_MA fr_MC fr_MF fr_MG fr_ML fr_MQ fr_MR fr_MU fr_NC
fr_NE fr_PF fr_PM fr_RE fr_RW fr_SC fr_SN fr_SY fr_TD fr_TG fr_TN fr_VU fr_WF fr_YT fy_NL ga_GB ga_IE gd_GB gl_ES
gn_PY gu_IN gv_IM ha_GH ha_NE ha_NG ha_SD he_IL hi_IN hr_BA hr_HR ht_HT hu_HU hy_AM id_ID ie_EE ig_NG ii_CN is_IS
it_CH it_IT it_SM it_VA iu_CA ja_JP jv_ID ka_GE ki_KE kk_CN kk_KZ kl_GL km_KH kn_IN ko_CN ko_KP ko_KR ks_IN ku_TR
kw_GB ky_KG la_VA lb_LU lg_UG ln_AO ln_CD ln_CF ln_CG lo_LA lt_LT lu_CD lv_LV mg_MG mi_NZ mk_MK ml_IN mn_CN mn_MN
mr_IN ms_BN ms_ID ms_MY ms_SG mt_MT my_MM nb_NO nb_SJ nd_ZW ne_IN ne_NP nl_AW nl_BE nl_BQ nl_CW nl_NL nl_SR nl_SX
nn_NO nr_ZA nv_US ny_MW oc_ES oc_FR om_ET om_KE or_IN os_GE os_RU pa_IN pa_PK pl_PL ps_AF ps_PK pt_AO pt_BR pt_CH
pt_CV pt_GQ pt_GW pt_LU pt_MO pt_MZ pt_PT pt_ST pt_TL qu_BO qu_EC qu_PE rm_CH rn_BI ro_MD ro_RO ru_BY ru_KG ru_KZ
ru_MD ru_RU ru_UA rw_RW sa_IN sc_IT sd_IN sd_PK se_FI se_NO se_SE sg_CF si_LK sk_SK sl_SI sn_ZW so_DJ so_ET so_KE
so_SO sq_AL sq_MK sr_BA sr_ME sr_RS ss_SZ ss_ZA st_LS st_ZA su_ID sv_AX sv_FI sv_SE sw_CD sw_KE sw_TZ sw_UG ta_IN
ta_LK ta_MY ta_SG te_IN tg_TJ th_TH ti_ER ti_ET tk_TM tn_BW tn_ZA to_TO tr_CY tr_TR ts_ZA tt_RU ug_CN uk_UA ur_IN
ur_PK uz_AF uz_UZ ve_ZA vi_VN wa_BE wo_SN xh_ZA yi_UA yo_BJ yo_NG za_CN zh_CN zh_HK zh_MO zh_MY zh_SG zh_TW zu_ZA
"""
LOCALES = frozenset(_KNOWN.split())
