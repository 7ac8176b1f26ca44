set(VCPKG_BUILD_TYPE release) # header-only

# Until there is a release, only a checkout can be installed: the environment names it, and vcpkg
# must be told to let it through.
#   export RONDO_SOURCE_PATH=$PWD VCPKG_KEEP_ENV_VARS=RONDO_SOURCE_PATH
#   vcpkg install rondo --overlay-ports=$PWD/packaging/vcpkg
# The download below works as soon as there is a tag and SHA512 is that of its archive.
if(DEFINED ENV{RONDO_SOURCE_PATH})
    set(SOURCE_PATH "$ENV{RONDO_SOURCE_PATH}")
else()
    vcpkg_from_github(
        OUT_SOURCE_PATH SOURCE_PATH
        REPO rondo/rondo
        REF "v${VERSION}"
        SHA512 0
        HEAD_REF main
    )
endif()

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DRONDO_BUILD_TESTS=OFF
        -DRONDO_BUILD_EXAMPLES=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/rondo)
# Below share vcpkg wants no .pc that links anything; -pthread is in its Cflags, too.
vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/share/pkgconfig/rondo.pc" "Libs: -pthread\n" "")
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE
    "${CURRENT_PACKAGES_DIR}/debug"
    "${CURRENT_PACKAGES_DIR}/lib"
    "${CURRENT_PACKAGES_DIR}/share/licenses"
)
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
