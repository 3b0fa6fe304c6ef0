# A room is one folder under src/. It is compiled once, as objects; tests link rooms, the two libraries are made of them.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
find_package(ZLIB REQUIRED)

# -ffp-contract=off: numbers that a key or a training run depends on must not change with the compiler.
add_library(wmk_flags INTERFACE)
target_compile_options(wmk_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments> -ffp-contract=off $<$<BOOL:${WMK_WERROR}>:-Werror>)
target_include_directories(wmk_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
if(WMK_SANITIZE)
  target_compile_options(wmk_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(wmk_flags INTERFACE -fsanitize=address,undefined)
endif()

# wmk_room(NAME SOURCES file... [ROOMS room...] [LIBRARIES target...])
#   ROOMS: the rooms below this one (design law: base <- mark, model <- mark_file; nn; data; train; attack; report).
function(wmk_room name)
  cmake_parse_arguments(R "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  add_library(wmk_${name} STATIC ${R_SOURCES})
  target_include_directories(wmk_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(wmk_${name} PUBLIC wmk_flags OpenMP::OpenMP_C Threads::Threads m ${R_LIBRARIES})
  set_property(TARGET wmk_${name} PROPERTY WMK_LIBRARIES ${R_LIBRARIES})
  foreach(below ${R_ROOMS})
    target_link_libraries(wmk_${name} PUBLIC wmk_${below})
  endforeach()
endfunction()

# wmk_test(NAME SOURCES file... ROOMS room... [LABELS label...] [ARGS arg...]): a cmocka program that ctest runs.
# Label "slow" keeps a test out of the default run.
function(wmk_test name)
  cmake_parse_arguments(T "" "" "SOURCES;ROOMS;LABELS;LIBRARIES;ARGS" ${ARGN})
  add_executable(test_${name} ${T_SOURCES})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE WMK_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    WMK_PROJECT_VERSION="${PROJECT_VERSION}")
  target_link_libraries(test_${name} PRIVATE wmk_flags PkgConfig::cmocka ${T_LIBRARIES})
  foreach(room ${T_ROOMS})
    target_link_libraries(test_${name} PRIVATE wmk_${room})
  endforeach()
  add_test(NAME ${name} COMMAND test_${name} ${T_ARGS})
  if(T_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}")
  endif()
endfunction()
