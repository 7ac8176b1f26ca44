set(VCPKG_BUILD_TYPE release) # header-only

if(DEFINED ENV{RONDO_SOURCE_PATH})
    set(SOURCE_PATH "$ENV{RONDO_SOURCE_PATH}") # a trial of a checkout, before there is a release
else()
    vcpkg_from_github(
        OUT_SOURCE_PATH SOURCE_PATH
        REPO rondo/rondo
        REF "v${VERSION}"
        SHA512 0 # of the release's archive; vcpkg tells it when it differs
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
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE
    "${CURRENT_PACKAGES_DIR}/debug"
    "${CURRENT_PACKAGES_DIR}/lib"
    "${CURRENT_PACKAGES_DIR}/share/licenses"
)
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
