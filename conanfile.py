# SPDX-License-Identifier: BSL-1.0
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir


class RondoConan(ConanFile):
    name = "rondo"
    license = "BSL-1.0"
    description = "A header-only C++20 reactor"
    url = "https://github.com/rondo/rondo"
    homepage = "https://github.com/rondo/rondo"
    topics = ("event-loop", "reactor", "epoll", "networking", "header-only")
    package_type = "header-library"
    implements = ["auto_header_only"]
    settings = "os", "arch", "compiler", "build_type"
    exports_sources = ("CMakeLists.txt", "LICENSE", "include/*")
    no_copy_source = True

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "include/rondo/config/version.hpp"))
        self.version = ".".join(
            re.findall(r"#define RONDO_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))

    def layout(self):
        cmake_layout(self)

    def validate(self):
        if self.settings.os == "Windows":
            raise ConanInvalidConfiguration("rondo has no poller for Windows")
        check_min_cppstd(self, 20)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["RONDO_BUILD_TESTS"] = False
        toolchain.cache_variables["RONDO_BUILD_EXAMPLES"] = False
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()
        # Conan writes its own CMake and pkg-config files, from package_info.
        rmdir(self, os.path.join(self.package_folder, "share"))
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "rondo")
        self.cpp_info.set_property("cmake_target_name", "rondo::rondo")
        self.cpp_info.set_property("pkg_config_name", "rondo")
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
