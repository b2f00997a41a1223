package plan

// zone looks an IANA name up. It returns whether there is such a zone, and the local
// hour that is missing in the night when its clocks go forward: the first one, if there
// are several, and -1 if it has no such night. Cron leaves out, without a word, what
// would start in that hour.
//
// The list is compiled in, because with the machine's own list the output would depend
// on the machine. It is that of tzdata 2025b; a test compares it with the list of the
// Go release.
func zone(name string) (missing int, known bool) {
	switch name {
	case "UTC":
		return -1, true
	case "Africa/Cairo", "America/Havana", "America/Santiago", "Asia/Beirut", "Atlantic/Azores", "Chile/Continental":
		return 0, true
	case "Antarctica/Troll", "Atlantic/Canary", "Atlantic/Faeroe", "Atlantic/Faroe", "Atlantic/Madeira",
		"Europe/Belfast", "Europe/Dublin", "Europe/Guernsey", "Europe/Isle_of_Man", "Europe/Jersey", "Europe/Lisbon",
		"Europe/London":
		return 1, true
	case "Africa/Casablanca", "Africa/Ceuta", "Africa/El_Aaiun", "America/Adak", "America/Anchorage", "America/Atka",
		"America/Boise", "America/Cambridge_Bay", "America/Chicago", "America/Ciudad_Juarez", "America/Denver",
		"America/Detroit", "America/Edmonton", "America/Ensenada", "America/Fort_Wayne", "America/Glace_Bay",
		"America/Goose_Bay", "America/Grand_Turk", "America/Halifax", "America/Indiana/Indianapolis",
		"America/Indiana/Knox", "America/Indiana/Marengo", "America/Indiana/Petersburg", "America/Indiana/Tell_City",
		"America/Indiana/Vevay", "America/Indiana/Vincennes", "America/Indiana/Winamac", "America/Indianapolis",
		"America/Inuvik", "America/Iqaluit", "America/Juneau", "America/Kentucky/Louisville",
		"America/Kentucky/Monticello", "America/Knox_IN", "America/Los_Angeles", "America/Louisville",
		"America/Matamoros", "America/Menominee", "America/Metlakatla", "America/Miquelon", "America/Moncton",
		"America/Montreal", "America/Nassau", "America/New_York", "America/Nipigon", "America/Nome",
		"America/North_Dakota/Beulah", "America/North_Dakota/Center", "America/North_Dakota/New_Salem",
		"America/Ojinaga", "America/Pangnirtung", "America/Port-au-Prince", "America/Rainy_River",
		"America/Rankin_Inlet", "America/Resolute", "America/Santa_Isabel", "America/Shiprock", "America/Sitka",
		"America/St_Johns", "America/Thule", "America/Thunder_Bay", "America/Tijuana", "America/Toronto",
		"America/Vancouver", "America/Winnipeg", "America/Yakutat", "America/Yellowknife", "Antarctica/Macquarie",
		"Antarctica/McMurdo", "Antarctica/South_Pole", "Arctic/Longyearbyen", "Asia/Gaza", "Asia/Hebron",
		"Asia/Jerusalem", "Asia/Tel_Aviv", "Atlantic/Bermuda", "Atlantic/Jan_Mayen", "Australia/ACT",
		"Australia/Adelaide", "Australia/Broken_Hill", "Australia/Canberra", "Australia/Currie", "Australia/Hobart",
		"Australia/LHI", "Australia/Lord_Howe", "Australia/Melbourne", "Australia/NSW", "Australia/South",
		"Australia/Sydney", "Australia/Tasmania", "Australia/Victoria", "Australia/Yancowinna", "Canada/Atlantic",
		"Canada/Central", "Canada/Eastern", "Canada/Mountain", "Canada/Newfoundland", "Canada/Pacific",
		"Europe/Amsterdam", "Europe/Andorra", "Europe/Belgrade", "Europe/Berlin", "Europe/Bratislava",
		"Europe/Brussels", "Europe/Budapest", "Europe/Busingen", "Europe/Chisinau", "Europe/Copenhagen",
		"Europe/Gibraltar", "Europe/Ljubljana", "Europe/Luxembourg", "Europe/Madrid", "Europe/Malta", "Europe/Monaco",
		"Europe/Oslo", "Europe/Paris", "Europe/Podgorica", "Europe/Prague", "Europe/Rome", "Europe/San_Marino",
		"Europe/Sarajevo", "Europe/Skopje", "Europe/Stockholm", "Europe/Tirane", "Europe/Tiraspol", "Europe/Vaduz",
		"Europe/Vatican", "Europe/Vienna", "Europe/Warsaw", "Europe/Zagreb", "Europe/Zurich", "Mexico/BajaNorte",
		"Pacific/Auckland", "Pacific/Chatham", "Pacific/Norfolk", "US/Alaska", "US/Aleutian", "US/Central",
		"US/East-Indiana", "US/Eastern", "US/Indiana-Starke", "US/Michigan", "US/Mountain", "US/Pacific":
		return 2, true
	case "Asia/Famagusta", "Asia/Nicosia", "Europe/Athens", "Europe/Bucharest", "Europe/Helsinki", "Europe/Kiev",
		"Europe/Kyiv", "Europe/Mariehamn", "Europe/Nicosia", "Europe/Riga", "Europe/Sofia", "Europe/Tallinn",
		"Europe/Uzhgorod", "Europe/Vilnius", "Europe/Zaporozhye":
		return 3, true
	case "Chile/EasterIsland", "Pacific/Easter":
		return 22, true
	case "America/Godthab", "America/Nuuk", "America/Scoresbysund":
		return 23, true
	case "Africa/Abidjan", "Africa/Accra", "Africa/Addis_Ababa", "Africa/Algiers", "Africa/Asmara", "Africa/Asmera",
		"Africa/Bamako", "Africa/Bangui", "Africa/Banjul", "Africa/Bissau", "Africa/Blantyre", "Africa/Brazzaville",
		"Africa/Bujumbura", "Africa/Conakry", "Africa/Dakar", "Africa/Dar_es_Salaam", "Africa/Djibouti",
		"Africa/Douala", "Africa/Freetown", "Africa/Gaborone", "Africa/Harare", "Africa/Johannesburg", "Africa/Juba",
		"Africa/Kampala", "Africa/Khartoum", "Africa/Kigali", "Africa/Kinshasa", "Africa/Lagos", "Africa/Libreville",
		"Africa/Lome", "Africa/Luanda", "Africa/Lubumbashi", "Africa/Lusaka", "Africa/Malabo", "Africa/Maputo",
		"Africa/Maseru", "Africa/Mbabane", "Africa/Mogadishu", "Africa/Monrovia", "Africa/Nairobi", "Africa/Ndjamena",
		"Africa/Niamey", "Africa/Nouakchott", "Africa/Ouagadougou", "Africa/Porto-Novo", "Africa/Sao_Tome",
		"Africa/Timbuktu", "Africa/Tripoli", "Africa/Tunis", "Africa/Windhoek", "America/Anguilla", "America/Antigua",
		"America/Araguaina", "America/Argentina/Buenos_Aires", "America/Argentina/Catamarca",
		"America/Argentina/ComodRivadavia", "America/Argentina/Cordoba", "America/Argentina/Jujuy",
		"America/Argentina/La_Rioja", "America/Argentina/Mendoza", "America/Argentina/Rio_Gallegos",
		"America/Argentina/Salta", "America/Argentina/San_Juan", "America/Argentina/San_Luis",
		"America/Argentina/Tucuman", "America/Argentina/Ushuaia", "America/Aruba", "America/Asuncion",
		"America/Atikokan", "America/Bahia", "America/Bahia_Banderas", "America/Barbados", "America/Belem",
		"America/Belize", "America/Blanc-Sablon", "America/Boa_Vista", "America/Bogota", "America/Buenos_Aires",
		"America/Campo_Grande", "America/Cancun", "America/Caracas", "America/Catamarca", "America/Cayenne",
		"America/Cayman", "America/Chihuahua", "America/Coral_Harbour", "America/Cordoba", "America/Costa_Rica",
		"America/Coyhaique", "America/Creston", "America/Cuiaba", "America/Curacao", "America/Danmarkshavn",
		"America/Dawson", "America/Dawson_Creek", "America/Dominica", "America/Eirunepe", "America/El_Salvador",
		"America/Fort_Nelson", "America/Fortaleza", "America/Grenada", "America/Guadeloupe", "America/Guatemala",
		"America/Guayaquil", "America/Guyana", "America/Hermosillo", "America/Jamaica", "America/Jujuy",
		"America/Kralendijk", "America/La_Paz", "America/Lima", "America/Lower_Princes", "America/Maceio",
		"America/Managua", "America/Manaus", "America/Marigot", "America/Martinique", "America/Mazatlan",
		"America/Mendoza", "America/Merida", "America/Mexico_City", "America/Monterrey", "America/Montevideo",
		"America/Montserrat", "America/Noronha", "America/Panama", "America/Paramaribo", "America/Phoenix",
		"America/Port_of_Spain", "America/Porto_Acre", "America/Porto_Velho", "America/Puerto_Rico",
		"America/Punta_Arenas", "America/Recife", "America/Regina", "America/Rio_Branco", "America/Rosario",
		"America/Santarem", "America/Santo_Domingo", "America/Sao_Paulo", "America/St_Barthelemy", "America/St_Kitts",
		"America/St_Lucia", "America/St_Thomas", "America/St_Vincent", "America/Swift_Current", "America/Tegucigalpa",
		"America/Tortola", "America/Virgin", "America/Whitehorse", "Antarctica/Casey", "Antarctica/Davis",
		"Antarctica/DumontDUrville", "Antarctica/Mawson", "Antarctica/Palmer", "Antarctica/Rothera",
		"Antarctica/Syowa", "Antarctica/Vostok", "Asia/Aden", "Asia/Almaty", "Asia/Amman", "Asia/Anadyr",
		"Asia/Aqtau", "Asia/Aqtobe", "Asia/Ashgabat", "Asia/Ashkhabad", "Asia/Atyrau", "Asia/Baghdad", "Asia/Bahrain",
		"Asia/Baku", "Asia/Bangkok", "Asia/Barnaul", "Asia/Bishkek", "Asia/Brunei", "Asia/Calcutta", "Asia/Chita",
		"Asia/Choibalsan", "Asia/Chongqing", "Asia/Chungking", "Asia/Colombo", "Asia/Dacca", "Asia/Damascus",
		"Asia/Dhaka", "Asia/Dili", "Asia/Dubai", "Asia/Dushanbe", "Asia/Harbin", "Asia/Ho_Chi_Minh", "Asia/Hong_Kong",
		"Asia/Hovd", "Asia/Irkutsk", "Asia/Istanbul", "Asia/Jakarta", "Asia/Jayapura", "Asia/Kabul", "Asia/Kamchatka",
		"Asia/Karachi", "Asia/Kashgar", "Asia/Kathmandu", "Asia/Katmandu", "Asia/Khandyga", "Asia/Kolkata",
		"Asia/Krasnoyarsk", "Asia/Kuala_Lumpur", "Asia/Kuching", "Asia/Kuwait", "Asia/Macao", "Asia/Macau",
		"Asia/Magadan", "Asia/Makassar", "Asia/Manila", "Asia/Muscat", "Asia/Novokuznetsk", "Asia/Novosibirsk",
		"Asia/Omsk", "Asia/Oral", "Asia/Phnom_Penh", "Asia/Pontianak", "Asia/Pyongyang", "Asia/Qatar",
		"Asia/Qostanay", "Asia/Qyzylorda", "Asia/Rangoon", "Asia/Riyadh", "Asia/Saigon", "Asia/Sakhalin",
		"Asia/Samarkand", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Srednekolymsk", "Asia/Taipei",
		"Asia/Tashkent", "Asia/Tbilisi", "Asia/Tehran", "Asia/Thimbu", "Asia/Thimphu", "Asia/Tokyo", "Asia/Tomsk",
		"Asia/Ujung_Pandang", "Asia/Ulaanbaatar", "Asia/Ulan_Bator", "Asia/Urumqi", "Asia/Ust-Nera", "Asia/Vientiane",
		"Asia/Vladivostok", "Asia/Yakutsk", "Asia/Yangon", "Asia/Yekaterinburg", "Asia/Yerevan",
		"Atlantic/Cape_Verde", "Atlantic/Reykjavik", "Atlantic/South_Georgia", "Atlantic/St_Helena",
		"Atlantic/Stanley", "Australia/Brisbane", "Australia/Darwin", "Australia/Eucla", "Australia/Lindeman",
		"Australia/North", "Australia/Perth", "Australia/Queensland", "Australia/West", "Brazil/Acre",
		"Brazil/DeNoronha", "Brazil/East", "Brazil/West", "Canada/Saskatchewan", "Canada/Yukon", "Etc/GMT",
		"Etc/GMT+0", "Etc/GMT+1", "Etc/GMT+10", "Etc/GMT+11", "Etc/GMT+12", "Etc/GMT+2", "Etc/GMT+3", "Etc/GMT+4",
		"Etc/GMT+5", "Etc/GMT+6", "Etc/GMT+7", "Etc/GMT+8", "Etc/GMT+9", "Etc/GMT-0", "Etc/GMT-1", "Etc/GMT-10",
		"Etc/GMT-11", "Etc/GMT-12", "Etc/GMT-13", "Etc/GMT-14", "Etc/GMT-2", "Etc/GMT-3", "Etc/GMT-4", "Etc/GMT-5",
		"Etc/GMT-6", "Etc/GMT-7", "Etc/GMT-8", "Etc/GMT-9", "Etc/GMT0", "Etc/Greenwich", "Etc/UCT", "Etc/UTC",
		"Etc/Universal", "Etc/Zulu", "Europe/Astrakhan", "Europe/Istanbul", "Europe/Kaliningrad", "Europe/Kirov",
		"Europe/Minsk", "Europe/Moscow", "Europe/Samara", "Europe/Saratov", "Europe/Simferopol", "Europe/Ulyanovsk",
		"Europe/Volgograd", "Indian/Antananarivo", "Indian/Chagos", "Indian/Christmas", "Indian/Cocos",
		"Indian/Comoro", "Indian/Kerguelen", "Indian/Mahe", "Indian/Maldives", "Indian/Mauritius", "Indian/Mayotte",
		"Indian/Reunion", "Mexico/BajaSur", "Mexico/General", "Pacific/Apia", "Pacific/Bougainville", "Pacific/Chuuk",
		"Pacific/Efate", "Pacific/Enderbury", "Pacific/Fakaofo", "Pacific/Fiji", "Pacific/Funafuti",
		"Pacific/Galapagos", "Pacific/Gambier", "Pacific/Guadalcanal", "Pacific/Guam", "Pacific/Honolulu",
		"Pacific/Johnston", "Pacific/Kanton", "Pacific/Kiritimati", "Pacific/Kosrae", "Pacific/Kwajalein",
		"Pacific/Majuro", "Pacific/Marquesas", "Pacific/Midway", "Pacific/Nauru", "Pacific/Niue", "Pacific/Noumea",
		"Pacific/Pago_Pago", "Pacific/Palau", "Pacific/Pitcairn", "Pacific/Pohnpei", "Pacific/Ponape",
		"Pacific/Port_Moresby", "Pacific/Rarotonga", "Pacific/Saipan", "Pacific/Samoa", "Pacific/Tahiti",
		"Pacific/Tarawa", "Pacific/Tongatapu", "Pacific/Truk", "Pacific/Wake", "Pacific/Wallis", "Pacific/Yap",
		"US/Arizona", "US/Hawaii", "US/Samoa":
		return -1, true
	}
	return -1, false
}
